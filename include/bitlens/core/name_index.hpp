#pragma once
/// name_index: the places of named things.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

namespace bitlens {

/// Finds places by name: filled, sorted once, then searched by halves. The names are borrowed.
class name_index {
public:
    struct entry {
        std::string_view name;
        std::size_t place;
    };

    void reserve(std::size_t names) { entries_.reserve(names); }
    void add(std::string_view name, std::size_t place) { entries_.push_back({name, place}); }

    /// Before anything below. The places of one name rise.
    void sort() {
        std::sort(entries_.begin(), entries_.end(),
                  [](entry const& a, entry const& b) { return std::tie(a.name, a.place) < std::tie(b.name, b.place); });
    }

    /// By name, in the order of their bytes.
    std::span<const entry> entries() const noexcept { return entries_; }

    /// The first name that was added more than once.
    std::optional<std::string_view> repeated() const noexcept {
        for (std::size_t i = 1; i < entries_.size(); ++i)
            if (entries_[i - 1].name == entries_[i].name) return entries_[i].name;
        return std::nullopt;
    }

    /// The first of the places added under a name.
    std::optional<std::size_t> find(std::string_view name) const noexcept {
        const auto found = std::lower_bound(entries_.begin(), entries_.end(), name,
                                            [](entry const& e, std::string_view n) { return e.name < n; });
        if (found == entries_.end() || found->name != name) return std::nullopt;
        return found->place;
    }

private:
    std::vector<entry> entries_;
};

} // namespace bitlens
