#pragma once
/// token_texts: the bytes that the token ids of a run stand for.

#include "bitlens/core/error.hpp"
#include "bitlens/io/npz.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

class token_texts {
public:
    token_texts() = default;
    /// bytes_of(id) → text, for each of the ids, which may come in any order and more than once.
    template <class BytesOf>
    token_texts(std::vector<std::int32_t> ids, BytesOf const& bytes_of) : ids_(std::move(ids)) {
        std::ranges::sort(ids_);
        ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
        for (const std::int32_t id : ids_) {
            bytes_ += bytes_of(id);
            offsets_.push_back(bytes_.size());
        }
    }

    /// The arrays token_ids, token_offsets and token_bytes of `file`, whose name is `who`.
    /// Errors: format_error naming the file and the array that is missing, or contradicts the others.
    static token_texts read(npz_reader const& file, std::string const& who) {
        token_texts t;
        t.ids_ = file.array("token_ids").values<std::int32_t>();
        const auto offsets = file.array("token_offsets").values<std::int64_t>();
        const auto bytes = file.array("token_bytes").values<std::uint8_t>();
        if (std::ranges::adjacent_find(t.ids_, std::greater_equal<>{}) != t.ids_.end())
            throw format_error(who + ": array 'token_ids' does not rise");
        if (offsets.size() != t.ids_.size() + 1 || offsets.front() != 0 ||
            offsets.back() != static_cast<std::int64_t>(bytes.size()) || !std::ranges::is_sorted(offsets))
            throw format_error(who + ": array 'token_offsets' does not cut the " + std::to_string(bytes.size()) +
                               " bytes of 'token_bytes' into " + std::to_string(t.ids_.size()) + " pieces");
        t.offsets_.assign(offsets.begin(), offsets.end());
        t.bytes_.assign(bytes.begin(), bytes.end());
        return t;
    }
    void write(npz_writer& file) const {
        file.add<std::int32_t>("token_ids", std::array{ids_.size()}, ids_);
        const std::vector<std::int64_t> offsets(offsets_.begin(), offsets_.end());
        file.add<std::int64_t>("token_offsets", std::array{offsets.size()}, offsets);
        const std::vector<std::uint8_t> bytes(bytes_.begin(), bytes_.end());
        file.add<std::uint8_t>("token_bytes", std::array{bytes.size()}, bytes);
    }

    /// The bytes that an id stands for.   Errors: format_error for one that the run does not know.
    std::string_view operator[](std::int32_t id) const {
        const auto place = std::ranges::lower_bound(ids_, id);
        if (place == ids_.end() || *place != id)
            throw format_error("tokens.npz: array 'token_ids' lacks the id " + std::to_string(id));
        const auto i = static_cast<std::size_t>(place - ids_.begin());
        return std::string_view(bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
    }

private:
    std::vector<std::int32_t> ids_; // rising
    std::vector<std::size_t> offsets_{0};
    std::string bytes_;
};

} // namespace bitlens
