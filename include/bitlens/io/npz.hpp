#pragma once
/// NPZ: named arrays in one zip file. Read stored and deflated; written stored, so that numpy.load reads it.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/gzip.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/io/zip.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// The arrays of a mapped NPZ file.
/// Errors: io_error as mapped_file, format_error as zip_file.
class npz_reader {
public:
    explicit npz_reader(std::filesystem::path const& path)
        : file_(std::make_shared<const mapped_file>(path)), who_(path.string()), zip_(file_->bytes(), who_) {}

    /// Of the arrays, in the order of the file; an entry that does not end in .npy is none.
    std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (auto const& e : zip_.entries())
            if (e.name.ends_with(suffix)) all.emplace_back(e.name.substr(0, e.name.size() - suffix.size()));
        return all;
    }
    bool contains(std::string_view name) const { return find(name) != nullptr; }

    /// A stored array is a view of the file, which it keeps mapped; a deflated one is unpacked.
    /// Errors: format_error if there is none of that name, if its size or checksum is wrong, and as parse_npy.
    npy_array array(std::string_view name) const {
        zip::entry const* const entry = find(name);
        if (!entry) throw format_error(who_ + ": there is no array " + in_quotes(name));
        auto [bytes, owner] = zip_.unpack(*entry);
        if (!owner) owner = file_;
        return parse_npy(bytes, who_ + ": array " + in_quotes(name), std::move(owner));
    }

private:
    static constexpr std::string_view suffix = ".npy";

    zip::entry const* find(std::string_view name) const { return zip_.find(std::string(name).append(suffix)); }

    std::shared_ptr<const mapped_file> file_;
    std::string who_;
    zip_file zip_;
};

/// Writes arrays one after the other to an NPZ file that appears when finish() is called. Nothing but the caller's
/// piece of an array is held in memory. Equal arrays in equal order make equal bytes: entries bear no date of their
/// own. Errors: shape_error if an array gets more or fewer values than its shape says, format_error for a name that
/// occurs twice, is no UTF-8 or is longer than zip holds, io_error as atomic_file.
class npz_writer {
public:
    /// `wide_from`: bytes from which on a size or offset is written as zip64; smaller only to test that.
    explicit npz_writer(std::filesystem::path const& path, std::uint64_t wide_from = zip::wide_size)
        : file_(path), wide_from_(wide_from) {}

    /// One array at once, in C order.
    template <npy_number T>
    void add(std::string_view name, std::span<const std::size_t> shape, std::span<const T> values) {
        detail::check_npy_size(who(name), shape, values.size());
        begin<T>(name, shape);
        append(values);
    }
    /// Begins an array whose values follow by append, in C order, until the next begin, add or finish.
    template <npy_number T>
    void begin(std::string_view name, std::span<const std::size_t> shape) {
        end_array();
        const std::string header = detail::npy_header_text(npy_type_of<T>(), shape);
        const auto count = checked_product(shape);
        if (!count || *count > (std::numeric_limits<std::size_t>::max() - header.size()) / sizeof(T))
            throw shape_error(who(name) + ": the shape " + shape_text(shape) + " is too large");
        constexpr std::size_t longest_name = 0xFFFF - std::string_view(".npy").size();
        if (name.size() > longest_name || !is_utf8(name))
            throw format_error(who(name) + ": a name of at most " + std::to_string(longest_name) +
                               " bytes of UTF-8 is expected");
        if (name.empty() || !names_.insert(std::string(name)).second)
            throw format_error(who(name) + ": each array needs a name of its own");
        open_ = {std::string(name) + ".npy", npy_type_of<T>(), 0, file_.size(), header.size() + *count * sizeof(T)};
        left_ = *count;
        write_local_header(open_);
        write_data(as_bytes(header));
        is_open_ = true;
    }
    template <npy_number T>
    void append(std::span<const T> values) {
        BITLENS_ASSERT(is_open_ && open_.type == npy_type_of<T>());
        if (values.size() > left_)
            throw shape_error(who(open_.name) + ": " + std::to_string(values.size() - left_) +
                              " values more than the shape says");
        left_ -= values.size();
        write_data(std::as_bytes(values));
    }
    /// Once; the file is in place afterwards.
    void finish() {
        end_array();
        const std::uint64_t begin = file_.size();
        for (auto const& e : entries_) write_central_entry(e);
        write_end(begin, file_.size() - begin);
        file_.commit();
    }

private:
    struct entry {
        std::string name;
        npy_type type;
        std::uint32_t crc;
        std::uint64_t offset, size;
    };
    /// Little-endian numbers one after the other.
    class record {
    public:
        template <class T>
        record& operator<<(T number) {
            text_.append(reinterpret_cast<char const*>(&number), sizeof number);
            return *this;
        }
        record& operator<<(std::string_view text) {
            text_ += text;
            return *this;
        }
        std::string_view text() const noexcept { return text_; }

    private:
        std::string text_;
    };

    static constexpr std::uint16_t version_plain = 20, version_wide = 45; // of the APPNOTE that a reader must know
    static constexpr std::uint32_t new_year_1980 = 0x00210000;            // midnight; the first date that zip knows
    static constexpr std::size_t crc_in_local_header = 14;

    std::string who(std::string_view name) const { return file_.path().string() + ": array " + in_quotes(name); }
    bool is_wide(std::uint64_t n) const noexcept { return n >= wide_from_; }
    std::uint32_t narrow(std::uint64_t n) const noexcept {
        return is_wide(n) ? zip::wide_size : static_cast<std::uint32_t>(n);
    }
    static std::uint16_t flags(entry const& e) noexcept { return is_ascii(e.name) ? 0 : zip::name_is_utf8; }

    void write_data(std::span<const std::byte> bytes) {
        open_.crc = crc32_of(bytes, open_.crc);
        file_.write(bytes);
    }
    void end_array() {
        if (!is_open_) return;
        if (left_ != 0)
            throw shape_error(who(open_.name) + ": " + std::to_string(left_) + " values fewer than the shape says");
        file_.overwrite(open_.offset + crc_in_local_header, std::as_bytes(std::span(&open_.crc, 1)));
        entries_.push_back(std::move(open_));
        is_open_ = false;
    }

    void write_local_header(entry const& e) {
        record wide;
        if (is_wide(e.size)) wide << zip::wide_field << std::uint16_t{16} << e.size << e.size;
        record r;
        r << zip::local_entry << (is_wide(e.size) ? version_wide : version_plain) << flags(e) << zip::method::stored
          << new_year_1980 << std::uint32_t{0} // the checksum is filled in by end_array
          << narrow(e.size) << narrow(e.size) << static_cast<std::uint16_t>(e.name.size())
          << static_cast<std::uint16_t>(wide.text().size()) << std::string_view(e.name) << wide.text();
        file_.write(r.text());
    }
    void write_central_entry(entry const& e) {
        record numbers;
        if (is_wide(e.size)) numbers << e.size << e.size;
        if (is_wide(e.offset)) numbers << e.offset;
        record wide;
        if (!numbers.text().empty())
            wide << zip::wide_field << static_cast<std::uint16_t>(numbers.text().size()) << numbers.text();
        const std::uint16_t needed = wide.text().empty() ? version_plain : version_wide;
        record r;
        r << zip::central_entry << needed << needed << flags(e) << zip::method::stored << new_year_1980 << e.crc
          << narrow(e.size) << narrow(e.size) << static_cast<std::uint16_t>(e.name.size())
          << static_cast<std::uint16_t>(wide.text().size()) << std::uint16_t{0} // no comment
          << std::uint16_t{0} << std::uint16_t{0} << std::uint32_t{0}           // first disk, no attributes
          << narrow(e.offset) << std::string_view(e.name) << wide.text();
        file_.write(r.text());
    }
    void write_end(std::uint64_t begin, std::uint64_t size) {
        const std::uint64_t count = entries_.size();
        record r;
        if (count >= zip::wide_count || is_wide(begin) || is_wide(size)) {
            constexpr std::uint64_t rest_of_record = 44;
            r << zip::end_record_64 << rest_of_record << version_wide << version_wide << std::uint32_t{0}
              << std::uint32_t{0} << count << count << size << begin;
            r << zip::end_locator_64 << std::uint32_t{0} << begin + size << std::uint32_t{1};
        }
        const auto short_count = static_cast<std::uint16_t>(std::min<std::uint64_t>(count, zip::wide_count));
        r << zip::end_record << std::uint32_t{0} << short_count << short_count << narrow(size) << narrow(begin)
          << std::uint16_t{0};
        file_.write(r.text());
    }

    atomic_file file_;
    std::uint64_t wide_from_;
    std::set<std::string, std::less<>> names_;
    std::vector<entry> entries_; // finished
    entry open_{};               // the one that append() fills
    std::size_t left_ = 0;       // its values that are still to come
    bool is_open_ = false;
};

} // namespace bitlens
