#pragma once
/// zip_file: the entries of a zip file in memory, stored or deflated.   Source: PKWARE APPNOTE 6.3.10, 4.3 and 4.5.3.

#include "bitlens/core/error.hpp"
#include "bitlens/core/name_index.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/gzip.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

namespace zip {

/// What begins each record.
inline constexpr std::uint32_t local_entry = 0x04034b50, central_entry = 0x02014b50, end_record = 0x06054b50,
                               end_record_64 = 0x06064b50, end_locator_64 = 0x07064b50;
inline constexpr std::size_t locator_bytes = 20; // of a zip64 record
/// A size, offset or count that did not fit and stands in a zip64 record instead.
inline constexpr std::uint32_t wide_size = 0xFFFFFFFF;
inline constexpr std::uint16_t wide_count = 0xFFFF;
/// The extra field that holds such sizes and offsets.
inline constexpr std::uint16_t wide_field = 1;
/// Flags of an entry. A name without name_is_utf8 is of an old code page.
inline constexpr std::uint16_t encrypted = 1, patched = 1 << 5, strongly_encrypted = 1 << 6, name_is_utf8 = 1 << 11,
                               masked = 1 << 13;

enum class method : std::uint16_t { stored = 0, deflated = 8 };

/// One file in a zip file. Name and data lie in the bytes of the zip file.
struct entry {
    std::string_view name;
    zip::method method;
    std::uint32_t crc;
    std::uint64_t size;              // unpacked
    std::uint64_t offset;            // of the local header
    std::span<const std::byte> data; // as stored
};

} // namespace zip

/// The central directory of a zip file, checked against the local headers, and the unpacked entries.
/// Errors: format_error naming file, entry and field: several disks, encryption, other methods, a directory or entry
/// that is not where it should be, names that occur twice, leave the folder or are neither ASCII nor said to be UTF-8,
/// entries that share bytes, and when an entry is unpacked, a bomb (see inflater), a wrong size or checksum.
class zip_file {
public:
    /// `bytes` are borrowed; `who` begins the text of every error.
    zip_file(std::span<const std::byte> bytes, std::string who) : bytes_(bytes), who_(std::move(who)) {
        const auto where = find_directory();
        byte_cursor cursor(bytes_.subspan(where.begin, where.size), who_);
        for (std::uint64_t i = 0; i < where.entries; ++i)
            entries_.push_back(read_entry(cursor, bytes_.first(where.begin), i));
        if (cursor.left() != 0) fail("central directory: " + std::to_string(cursor.left()) + " bytes too long");
        check_names();
        check_overlap();
    }

    /// In the order of the directory.
    std::span<const zip::entry> entries() const noexcept { return entries_; }
    /// nullptr where there is none of that name.
    zip::entry const* find(std::string_view name) const noexcept {
        const auto place = by_name_.find(name);
        return place ? &entries_[*place] : nullptr;
    }

    /// The bytes of an entry and what keeps them alive beside the zip file itself: nullptr for a stored entry, whose
    /// bytes lie in the file.
    std::pair<std::span<const std::byte>, std::shared_ptr<const void>> unpack(zip::entry const& entry) const {
        const std::string who = who_ + ": entry " + in_quotes(entry.name);
        std::pair<std::span<const std::byte>, std::shared_ptr<const void>> unpacked{entry.data, nullptr};
        if (entry.method == zip::method::deflated) {
            if (entry.size > inflater::most_unpacked(entry.data.size()))
                throw format_error(who + ": size: " + std::to_string(entry.data.size()) +
                                   " bytes are said to unpack to " + std::to_string(entry.size));
            // One byte more than there should be shows that the data go on.
            const auto buffer = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(entry.size) + 1);
            const std::size_t size = inflater(entry.data, who, deflate_kind::raw).read(*buffer);
            if (size != entry.size)
                throw format_error(who + ": size: " + std::to_string(entry.size) + " bytes are expected, " +
                                   (size > entry.size ? "more" : std::to_string(size)) + " were unpacked");
            unpacked = {std::span<const std::byte>(*buffer).first(size), buffer};
        }
        if (crc32_of(unpacked.first) != entry.crc) throw format_error(who + ": the checksum is wrong");
        return unpacked;
    }

private:
    struct directory {
        std::size_t begin, size;
        std::uint64_t entries;
    };

    [[noreturn]] void fail(std::string const& what) const { throw format_error(who_ + ": " + what); }

    /// A comment of unknown length follows the end record, so it is looked for from the end.
    std::size_t find_end_record() const {
        constexpr std::size_t record_bytes = 22, longest_comment = 65535;
        if (bytes_.size() < record_bytes) fail("too short for a zip file");
        const std::size_t highest = bytes_.size() - record_bytes;
        for (std::size_t comment = 0; comment <= std::min(highest, longest_comment); ++comment) {
            std::byte const* const record = bytes_.data() + (highest - comment);
            if (load<std::uint32_t>(record) == zip::end_record && load<std::uint16_t>(record + 20) == comment)
                return highest - comment;
        }
        fail("end of the central directory: not found: this is no zip file, or it was cut");
    }

    directory find_directory() const {
        const std::size_t end = find_end_record();
        byte_cursor record(bytes_.subspan(end + 4), who_);
        const auto disks = record.number<std::uint32_t>("end record: disks");
        const auto entries_here = record.number<std::uint16_t>("end record: entries");
        const auto entries = record.number<std::uint16_t>("end record: entries");
        const auto size = record.number<std::uint32_t>("end record: size"),
                   begin = record.number<std::uint32_t>("end record: offset");
        // PyTorch writes zip64 records whether sizes need them or not.
        const bool has_wide_record = end >= zip::locator_bytes && std::uint64_t{begin} + size != end &&
                                     load<std::uint32_t>(&bytes_[end - zip::locator_bytes]) == zip::end_locator_64;
        if (entries == zip::wide_count || size == zip::wide_size || begin == zip::wide_size || has_wide_record)
            return find_directory_64(end);
        if (disks != 0 || entries_here != entries) fail("end record: a zip file in several parts is not read");
        return checked_directory(begin, size, entries, end);
    }

    directory find_directory_64(std::size_t end) const {
        constexpr std::size_t locator_bytes = zip::locator_bytes, record_bytes = 56;
        if (end < locator_bytes + record_bytes) fail("zip64 end record: missing");
        byte_cursor locator(bytes_.subspan(end - locator_bytes, locator_bytes), who_);
        if (locator.number<std::uint32_t>("zip64 locator") != zip::end_locator_64) fail("zip64 locator: missing");
        locator.take(4, "zip64 locator: disk");
        const std::size_t place = end - locator_bytes - record_bytes;
        if (locator.number<std::uint64_t>("zip64 locator: offset") != place)
            fail("zip64 locator: offset: the zip64 end record is not directly before it");
        byte_cursor record(bytes_.subspan(place, record_bytes), who_);
        if (record.number<std::uint32_t>("zip64 end record") != zip::end_record_64) fail("zip64 end record: missing");
        record.take(12, "zip64 end record: size and versions");
        const auto disks = record.number<std::uint64_t>("zip64 end record: disks");
        const auto entries_here = record.number<std::uint64_t>("zip64 end record: entries");
        const auto entries = record.number<std::uint64_t>("zip64 end record: entries");
        if (disks != 0 || entries_here != entries) fail("zip64 end record: a zip file in several parts is not read");
        const auto size = record.number<std::uint64_t>("zip64 end record: size");
        return checked_directory(record.number<std::uint64_t>("zip64 end record: offset"), size, entries, place);
    }

    directory checked_directory(std::uint64_t begin, std::uint64_t size, std::uint64_t entries, std::size_t end) const {
        if (begin > end || size != end - begin)
            fail("central directory: " + std::to_string(size) + " bytes at offset " + std::to_string(begin) +
                 " do not end at " + std::to_string(end));
        return {static_cast<std::size_t>(begin), static_cast<std::size_t>(size), entries};
    }

    /// Entry `i` of the directory; its local header and data lie in `files`, the bytes before the directory.
    zip::entry read_entry(byte_cursor& cursor, std::span<const std::byte> files, std::uint64_t i) const {
        const std::string nth = "entry " + std::to_string(i);
        if (cursor.number<std::uint32_t>(nth) != zip::central_entry) fail(nth + ": no entry of the central directory");
        zip::entry e{};
        cursor.take(4, nth); // versions
        const auto flags = cursor.number<std::uint16_t>(nth);
        e.method = zip::method{cursor.number<std::uint16_t>(nth)};
        cursor.take(4, nth); // time and date
        e.crc = cursor.number<std::uint32_t>(nth);
        std::uint64_t packed = cursor.number<std::uint32_t>(nth);
        e.size = cursor.number<std::uint32_t>(nth);
        const auto name_bytes = cursor.number<std::uint16_t>(nth);
        const auto extra_bytes = cursor.number<std::uint16_t>(nth);
        const auto comment_bytes = cursor.number<std::uint16_t>(nth);
        cursor.take(8, nth); // disk and attributes
        e.offset = cursor.number<std::uint32_t>(nth);
        e.name = as_text(cursor.take(name_bytes, nth + ": name"));
        const std::string field = "entry " + in_quotes(e.name);
        constexpr auto hidden = zip::encrypted | zip::strongly_encrypted | zip::masked;
        if ((flags & hidden) != 0) fail(field + ": is encrypted");
        if ((flags & zip::patched) != 0) fail(field + ": is a patch of another file");
        if (!is_ascii(e.name) && (flags & zip::name_is_utf8) == 0)
            fail(field + ": name: UTF-8 is expected, and a flag for it");
        if (e.method != zip::method::stored && e.method != zip::method::deflated)
            fail(field + ": method: 0 (stored) or 8 (deflated) is expected, " +
                 std::to_string(static_cast<unsigned>(e.method)) + " was found");
        read_wide_field(cursor.take(extra_bytes, field + ": extra fields"), field, {&e.size, &packed, &e.offset});
        cursor.take(comment_bytes, field + ": comment");
        e.data = find_data(e, flags, packed, files, field);
        if (e.method == zip::method::stored && e.size != packed) fail(field + ": size: a stored entry of two sizes");
        return e;
    }

    /// The zip64 field holds those of the three numbers that were too large, in this order.
    void read_wide_field(std::span<const std::byte> extra, std::string const& field,
                         std::initializer_list<std::uint64_t*> numbers) const {
        byte_cursor cursor(extra, who_);
        while (cursor.left() > 0) {
            const auto id = cursor.number<std::uint16_t>(field + ": extra field");
            const auto size = cursor.number<std::uint16_t>(field + ": extra field");
            byte_cursor content(cursor.take(size, field + ": extra field"), who_);
            if (id != zip::wide_field) continue;
            for (std::uint64_t* const number : numbers)
                if (*number == zip::wide_size) *number = content.number<std::uint64_t>(field + ": zip64 field");
        }
    }

    std::span<const std::byte> find_data(zip::entry const& e, std::uint16_t flags, std::uint64_t packed,
                                         std::span<const std::byte> files, std::string const& field) const {
        const std::string header = field + ": local header";
        byte_cursor cursor(files, who_);
        cursor.take(e.offset, header);
        if (cursor.number<std::uint32_t>(header) != zip::local_entry) fail(header + ": missing");
        cursor.take(2, header); // version
        if ((cursor.number<std::uint16_t>(header) & zip::name_is_utf8) != (flags & zip::name_is_utf8))
            fail(header + ": flags: not those of the directory");
        if (cursor.number<std::uint16_t>(header) != static_cast<std::uint16_t>(e.method))
            fail(header + ": method: not that of the directory");
        cursor.take(16, header); // time, date, checksum, sizes: 0 where a program wrote them behind the data
        const auto name_bytes = cursor.number<std::uint16_t>(header);
        const auto extra_bytes = cursor.number<std::uint16_t>(header);
        if (as_text(cursor.take(name_bytes, header)) != e.name) fail(header + ": name: not that of the directory");
        cursor.take(extra_bytes, header);
        return cursor.take(packed, field + ": data");
    }

    void check_names() {
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            auto const& e = entries_[i];
            const bool leaves = e.name == ".." || e.name.starts_with("../") || e.name.ends_with("/..") ||
                                e.name.find("/../") != e.name.npos || e.name.starts_with('/') ||
                                e.name.find_first_of(std::string_view("\\\0", 2)) != std::string_view::npos;
            if (e.name.empty() || leaves || !is_utf8(e.name))
                fail("entry " + in_quotes(e.name) + ": name: not allowed");
            by_name_.add(e.name, i);
        }
        by_name_.sort();
        if (const auto twice = by_name_.repeated()) fail("entry " + in_quotes(*twice) + " occurs twice");
    }

    void check_overlap() const {
        std::vector<zip::entry const*> order;
        for (auto const& e : entries_) order.push_back(&e);
        std::ranges::sort(order, {}, &zip::entry::offset);
        std::uint64_t used = 0; // bytes up to the end of the entries so far
        for (auto const* const e : order) {
            if (e->offset < used) fail("entry " + in_quotes(e->name) + ": offset: overlaps another entry");
            used = static_cast<std::uint64_t>(e->data.data() + e->data.size() - bytes_.data());
        }
    }

    std::span<const std::byte> bytes_;
    std::string who_;
    std::vector<zip::entry> entries_;
    name_index by_name_; // places in entries_
};

} // namespace bitlens
