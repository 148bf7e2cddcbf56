#pragma once
/// The one door to zlib: inflating with limits, and the lines of a file that may be gzip.

#include "bitlens/core/error.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/mapped_file.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <zlib.h>

namespace bitlens {

/// CRC-32 (of gzip and zip) of bytes that follow others whose CRC-32 is `before`.
inline std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept {
    if (bytes.empty()) return before; // zlib would begin anew at a null pointer
    return static_cast<std::uint32_t>(::crc32_z(before, reinterpret_cast<Bytef const*>(bytes.data()), bytes.size()));
}

/// How deflated bytes are wrapped.
enum class deflate_kind { raw, gzip };

/// Inflates borrowed bytes piece by piece. Gzip members that follow each other are one stream.
/// Errors: format_error that begins with `who` for bytes that are no deflate stream, a wrong checksum, a stream that
/// ends early, bytes after its end, and for a bomb: more than most_unpacked.
class inflater {
public:
    /// Bytes. Deflate never reaches more than 1032 × the compressed size, and that only on one byte repeated; no real
    /// file of more than 64 MiB reaches 256 ×.
    static constexpr std::uint64_t most_unpacked(std::uint64_t compressed) noexcept {
        return std::min(1032 * compressed, (std::uint64_t{64} << 20) + 256 * compressed);
    }

    inflater(std::span<const std::byte> compressed, std::string who, deflate_kind kind)
        : input_(compressed), who_(std::move(who)), kind_(kind), most_(most_unpacked(compressed.size())),
          stream_(new z_stream{}) {
        // Of 2^15 bytes of window; + 16: with the header and checksum of gzip; negative: with neither.
        if (inflateInit2(stream_.get(), kind == deflate_kind::gzip ? 15 + 16 : -15) != Z_OK) throw std::bad_alloc();
    }

    /// Fills `out` as far as the stream goes; how many bytes were written. Fewer than out.size() only at the end.
    std::size_t read(std::span<std::byte> out) {
        std::size_t done = 0;
        while (done < out.size() && !ended_) {
            done += step(out.subspan(done));
            if (total_ + done > most_)
                fail("unpacks to more than " + std::to_string(most_) + " bytes, which no real file of its size does");
        }
        total_ += done;
        return done;
    }

private:
    struct end_stream {
        void operator()(z_stream* s) const noexcept {
            inflateEnd(s);
            delete s;
        }
    };

    [[noreturn]] void fail(std::string const& what) const { throw format_error(who_ + ": " + what); }

    std::size_t step(std::span<std::byte> out) {
        constexpr std::size_t most = std::numeric_limits<uInt>::max(); // zlib counts in 32 bits
        const std::size_t in_size = std::min(input_.size(), most), out_size = std::min(out.size(), most);
        stream_->next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input_.data()));
        stream_->avail_in = static_cast<uInt>(in_size);
        stream_->next_out = reinterpret_cast<Bytef*>(out.data());
        stream_->avail_out = static_cast<uInt>(out_size);
        const int status = inflate(stream_.get(), Z_NO_FLUSH);
        input_ = input_.subspan(in_size - stream_->avail_in);
        if (status == Z_MEM_ERROR) throw std::bad_alloc();
        if (status == Z_STREAM_END)
            finish_member();
        else if (status == Z_BUF_ERROR || (status == Z_OK && input_.empty() && stream_->avail_out > 0))
            fail("the compressed data end early");
        else if (status != Z_OK)
            fail(std::string("the compressed data are damaged: ") +
                 (stream_->msg ? stream_->msg : "no deflate stream"));
        return out_size - stream_->avail_out;
    }

    void finish_member() {
        ended_ = input_.empty();
        if (ended_) return;
        const bool next = kind_ == deflate_kind::gzip && input_[0] == std::byte{0x1F};
        if (!next) fail(std::to_string(input_.size()) + " bytes follow the end of the compressed data");
        if (inflateReset(stream_.get()) != Z_OK) fail("the next member cannot be read");
    }

    std::span<const std::byte> input_; // what is not inflated yet
    std::string who_;
    deflate_kind kind_;
    std::uint64_t most_, total_ = 0;
    bool ended_ = false;
    std::unique_ptr<z_stream, end_stream> stream_;
};

/// Whether bytes begin as a gzip file does. No UTF-8 text does.
inline bool is_gzip(std::span<const std::byte> bytes) noexcept {
    return bytes.size() >= 2 && bytes[0] == std::byte{0x1F} && bytes[1] == std::byte{0x8B};
}

/// All that a gzip file unpacks to.   Errors: as inflater; more than `cap` bytes are a format_error too.
inline std::string gunzip(std::span<const std::byte> bytes, std::string const& who, std::size_t cap) {
    inflater stream(bytes, who, deflate_kind::gzip);
    std::string all;
    for (;;) {
        constexpr std::size_t piece = std::size_t{1} << 16;
        const std::size_t have = all.size();
        all.resize(have + std::max(piece, have / 2));
        const std::size_t n = stream.read(std::as_writable_bytes(std::span(all)).subspan(have));
        const bool ended = have + n < all.size();
        all.resize(have + n);
        if (all.size() > cap) throw format_error(who + ": unpacks to more than " + std::to_string(cap) + " bytes");
        if (ended) return all;
    }
}

/// Whether a line holds nothing but white space.
inline bool is_blank_line(std::string_view line) noexcept { return line.find_first_not_of(" \t\r") == line.npos; }

/// The lines of a text file, plain or gzip (told apart by its first bytes). A line ends with `\n` or `\r\n`; the last
/// may end with the file; a byte order mark before the first is skipped. Errors: io_error as mapped_file; format_error
/// naming the file for damaged gzip, and the line for one longer than longest_line.
class line_reader {
public:
    /// Bytes; a document of this size is a mistake, and its JSON would take several times the memory.
    static constexpr std::size_t longest_line = std::size_t{64} << 20;

    line_reader(line_reader const&) = delete; // rest_ points into buffer_
    line_reader& operator=(line_reader const&) = delete;
    explicit line_reader(std::filesystem::path const& path) : file_(path), rest_(as_text(file_.bytes())) {
        if (is_gzip(file_.bytes())) {
            unpacked_.emplace(file_.bytes(), path.string(), deflate_kind::gzip);
            rest_ = {};
            read_more();
        }
        constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
        if (rest_.starts_with(byte_order_mark)) rest_.remove_prefix(byte_order_mark.size());
    }

    /// The next line without its end; false after the last. The text is good until the next call.
    bool next(std::string_view& line) {
        std::size_t searched = 0;
        std::size_t end = 0;
        while ((end = rest_.find('\n', searched)) == std::string_view::npos) {
            searched = rest_.size();
            check_length(searched, number_ + 1);
            if (!read_more()) break;
        }
        if (end == std::string_view::npos && rest_.empty()) return false;
        line = rest_.substr(0, end);
        check_length(line.size(), ++number_);
        rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        return true;
    }

    /// Of the line that next() gave last, from 1.
    std::size_t line_number() const noexcept { return number_; }
    std::filesystem::path const& path() const noexcept { return file_.path(); }

private:
    void check_length(std::size_t size, std::size_t number) const {
        if (size > longest_line)
            throw format_error(path().string() + ": line " + std::to_string(number) + ": longer than " +
                               std::to_string(longest_line) + " bytes");
    }
    /// Puts more unpacked bytes behind rest_; false if there are none.
    bool read_more() {
        if (!unpacked_) return false;
        constexpr std::size_t piece = std::size_t{1} << 16;
        buffer_.erase(0, buffer_.size() - rest_.size()); // rest_ is always the end of buffer_
        const std::size_t have = buffer_.size();
        buffer_.resize(have + std::max(piece, have));
        const std::size_t n = unpacked_->read(std::as_writable_bytes(std::span(buffer_)).subspan(have));
        buffer_.resize(have + n);
        rest_ = buffer_;
        return n > 0;
    }

    mapped_file file_;
    std::string_view rest_; // what next() has not given yet: of the file, or the end of buffer_
    std::optional<inflater> unpacked_;
    std::string buffer_;
    std::size_t number_ = 0;
};

} // namespace bitlens
