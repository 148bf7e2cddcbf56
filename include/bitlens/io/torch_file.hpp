#pragma once
/// torch_file: tensors in lists and dictionaries, as torch.save writes them: a zip file with a pickle that refers to
/// the storages beside it.   Source: torch/serialization.py, torch/_utils.py.

#include "bitlens/core/error.hpp"
#include "bitlens/core/half.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/pickle.hpp"
#include "bitlens/io/zip.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

/// A file that torch.save wrote, of tensors of floats in tuples, lists and dictionaries.
/// Errors: io_error as mapped_file; format_error as zip_file and pickle, and for what is none of torch's.
class torch_file {
public:
    explicit torch_file(std::filesystem::path const& path)
        : file_(path), who_(path.string()), zip_(file_.bytes(), who_), data_(unpack_pickle()),
          objects_(data_.first, who_, allowed_names) {}

    std::string const& who() const noexcept { return who_; }
    pickle_value const& root() const noexcept { return objects_.root(); }
    pickle_value const& operator[](std::uint32_t place) const noexcept { return objects_[place]; }

    /// The value of a key.   Errors: format_error where `where` is no dictionary, or has the key not once.
    pickle_value const& value_of(pickle_value const& where, std::string_view key) const {
        expect(where, pickle_kind::dictionary, who_);
        pickle_value const* found = nullptr;
        for (std::size_t i = 0; i < where.items.size(); i += 2) {
            auto const& each = objects_[where.items[i]];
            if (each.kind != pickle_kind::text || each.text != key) continue;
            if (found != nullptr) throw format_error(who_ + ": the key " + in_quotes(key) + " occurs twice");
            found = &objects_[where.items[i + 1]];
        }
        if (found == nullptr) throw format_error(who_ + ": there is no key " + in_quotes(key));
        return *found;
    }
    /// Items of a tuple or list.   Errors: format_error for anything else, naming `what`.
    std::span<const std::uint32_t> items_of(pickle_value const& value, std::string const& what) const {
        if (value.kind != pickle_kind::list) expect(value, pickle_kind::tuple, what);
        return value.items;
    }
    std::string_view text_of(pickle_value const& value, std::string const& what) const {
        expect(value, pickle_kind::text, what);
        return value.text;
    }

    struct tensor {
        std::vector<std::size_t> shape;
        std::vector<float> numbers; ///< rows one after the other
    };
    /// A tensor of float16, bfloat16, float32 or float64, in float32.   Errors: format_error naming `what` for anything
    /// else, one of more than `most` numbers, one that leaves its storage, has gaps between its numbers or another
    /// order than rows.
    tensor tensor_of(pickle_value const& value, std::size_t most, std::string const& what) const {
        const auto fail = [&](std::string const& reason) { throw format_error(what + ": " + reason); };
        expect(value, pickle_kind::call, what);
        auto const& arguments = objects_[value.items[1]].items;
        if (objects_[value.items[0]].text != rebuild_tensor || arguments.size() < 4)
            fail("a tensor is expected, as torch._utils._rebuild_tensor_v2 makes it");
        const auto [storage, type] = storage_of(objects_[arguments[0]], what);
        const std::size_t offset = size_of(objects_[arguments[1]], what + ": offset");
        tensor result{sizes_of(objects_[arguments[2]], what + ": shape"), {}};
        const auto strides = sizes_of(objects_[arguments[3]], what + ": strides");
        if (strides.size() != result.shape.size())
            fail("a shape of " + std::to_string(result.shape.size()) + " and " + std::to_string(strides.size()) +
                 " strides");
        const auto count = checked_product(result.shape);
        const std::size_t there = storage.size() / type->bytes;
        if (!count || offset > there || *count > there - offset)
            fail("shape " + shape_text(result.shape) + " from number " + std::to_string(offset) + " on leaves the " +
                 std::to_string(there) + " numbers of its storage");
        if (*count > most)
            fail("shape " + shape_text(result.shape) + ", at most " + std::to_string(most) + " numbers are expected");
        std::size_t expected = 1;
        for (std::size_t i = strides.size(); i-- > 0;) {
            if (result.shape[i] > 1 && *count > 0 && strides[i] != expected)
                fail("strides " + shape_text(strides) + " of shape " + shape_text(result.shape) +
                     "; rows one after the other are expected");
            expected *= std::max<std::size_t>(1, result.shape[i]);
        }
        result.numbers.resize(*count);
        for (std::size_t i = 0; i < *count; ++i)
            result.numbers[i] = type->read(storage.data() + (offset + i) * type->bytes);
        return result;
    }

    /// Errors: format_error naming `what` for another kind.
    void expect(pickle_value const& value, pickle_kind kind, std::string const& what) const {
        if (value.kind != kind)
            throw format_error(what + ": " + std::string(name(kind)) + " is expected, found " +
                               std::string(name(value.kind)));
    }

private:
    using unpacked = std::pair<std::span<const std::byte>, std::shared_ptr<const void>>;

    struct storage_type {
        std::string_view name;
        std::size_t bytes;
        float (*read)(std::byte const*);
    };
    template <class T>
    static float read_as(std::byte const* p) {
        return static_cast<float>(load<T>(p));
    }
    static constexpr std::array<storage_type, 4> storage_types{{
        {"torch HalfStorage", 2, &read_as<f16>},
        {"torch BFloat16Storage", 2, &read_as<bf16>},
        {"torch FloatStorage", 4, &read_as<float>},
        {"torch DoubleStorage", 8, &read_as<double>},
    }};
    static constexpr std::string_view rebuild_tensor = "torch._utils _rebuild_tensor_v2";
    static constexpr std::array<std::string_view, 6> allowed_names{rebuild_tensor,        "collections OrderedDict",
                                                                   storage_types[0].name, storage_types[1].name,
                                                                   storage_types[2].name, storage_types[3].name};

    /// Entries lie in one folder of the archive, under the name it was first saved as.
    unpacked unpack_pickle() {
        constexpr std::string_view end = "/data.pkl";
        zip::entry const* found = nullptr;
        for (auto const& entry : zip_.entries())
            if (entry.name.ends_with(end)) {
                if (found != nullptr) throw format_error(who_ + ": two entries end in " + in_quotes(end));
                found = &entry;
            }
        if (found == nullptr)
            throw format_error(who_ + ": no entry ends in " + in_quotes(end) + ": it is no file of torch.save");
        if (found->size > pickle::most_bytes)
            throw format_error(who_ + ": entry " + in_quotes(found->name) + " has " + std::to_string(found->size) +
                               " bytes, at most " + std::to_string(pickle::most_bytes) + " are expected");
        folder_ = std::string(found->name.substr(0, found->name.size() - end.size()));
        if (auto const* const order = zip_.find(folder_ + "/byteorder")) {
            const auto bytes = zip_.unpack(*order);
            if (as_text(bytes.first) != "little")
                throw format_error(who_ + ": its numbers have the byte order " +
                                   in_quotes(as_text(bytes.first).substr(0, 20)) + ", \"little\" is expected");
        }
        return zip_.unpack(*found);
    }

    /// ("storage", class, key, place, count).
    std::pair<std::span<const std::byte>, storage_type const*> storage_of(pickle_value const& value,
                                                                          std::string const& what) const {
        expect(value, pickle_kind::reference, what + ": storage");
        auto const& identity = objects_[value.items[0]];
        expect(identity, pickle_kind::tuple, what + ": storage");
        if (identity.items.size() != 5)
            throw format_error(what + ": its storage is told by " + std::to_string(identity.items.size()) +
                               " things, 5 are expected");
        const auto item = [&](std::size_t i) -> auto const& { return objects_[identity.items[i]]; };
        if (text_of(item(0), what + ": storage") != "storage")
            throw format_error(what + ": a storage is expected, " + in_quotes(item(0).text) + " was found");
        expect(item(1), pickle_kind::name, what + ": type of its storage");
        const auto type = std::ranges::find(storage_types, item(1).text, &storage_type::name);
        if (type == storage_types.end())
            throw format_error(what + ": " + in_quotes(item(1).text) + " is no storage of floats");
        const std::string entry_name = folder_ + "/data/" + std::string(text_of(item(2), what + ": key"));
        auto const* const entry = zip_.find(entry_name);
        if (entry == nullptr) throw format_error(what + ": there is no entry " + in_quotes(entry_name));
        const std::size_t count = size_of(item(4), what + ": size of its storage");
        if (entry->size / type->bytes != count || entry->size % type->bytes != 0)
            throw format_error(what + ": its storage has " + std::to_string(entry->size) + " bytes, " +
                               std::to_string(count) + " numbers of " + std::to_string(type->bytes) + " are expected");
        auto& storage = storages_[entry]; // tensors may share one, which is checked once
        if (!storage) storage = zip_.unpack(*entry);
        return {storage->first, &*type};
    }
    std::size_t size_of(pickle_value const& value, std::string const& what) const {
        expect(value, pickle_kind::integer, what);
        if (value.number < 0) throw format_error(what + ": " + std::to_string(value.number) + " is below 0");
        return static_cast<std::size_t>(value.number);
    }
    std::vector<std::size_t> sizes_of(pickle_value const& value, std::string const& what) const {
        expect(value, pickle_kind::tuple, what);
        if (value.items.size() > 8)
            throw format_error(what + ": " + std::to_string(value.items.size()) + " dimensions, at most 8 are read");
        std::vector<std::size_t> sizes;
        for (const auto place : value.items) sizes.push_back(size_of(objects_[place], what));
        return sizes;
    }

    mapped_file file_;
    std::string who_, folder_;
    zip_file zip_;
    unpacked data_;
    pickle objects_;
    mutable std::map<zip::entry const*, std::optional<unpacked>> storages_;
};

} // namespace bitlens
