#pragma once
/// quantization_description: what the files beside quantized weights say of them, wherever they say it.

#include "bitlens/core/error.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/stored/compressed_scheme.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitlens {

/// A JSON object that describes quantized weights, and where it stands.
class quantization_description {
public:
    quantization_description() = default;
    /// Errors: format_error where it says which layers are quantized, but not how.
    quantization_description(json object, std::string who) : object_(std::move(object)), who_(std::move(who)) {
        if (find({"config_groups"}) != nullptr || method() == "compressed-tensors")
            schemes_ = std::make_shared<const compressed_schemes>(object_, who_);
    }

    /// Whether anything is said.
    bool empty() const noexcept { return object_.empty() || !object_.is_object(); }
    json const& object() const noexcept { return object_; }
    /// What errors about it begin with: the file, and the key in it.
    std::string const& who() const noexcept { return who_; }

    /// "gptq", "compressed-tensors", …, in lower case, words divided by -; empty where none is named.
    std::string method() const {
        std::string name = text({"quant_method", "method"}).value_or("");
        for (char& c : name) {
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
            if (c == '_') c = '-';
        }
        return name;
    }
    /// What it says in the way of compressed-tensors; nullptr where it does not speak so.
    compressed_schemes const* schemes() const noexcept { return schemes_.get(); }

    /// The first of these keys that is there and not null.
    json const* find(std::initializer_list<std::string_view> keys) const {
        if (empty()) return nullptr;
        for (const std::string_view key : keys)
            if (const auto place = object_.find(key); place != object_.end() && !place->is_null()) return &*place;
        return nullptr;
    }
    /// Errors: format_error naming the key, for a value of another type.
    std::optional<std::int64_t> integer(std::initializer_list<std::string_view> keys) const {
        return value<std::int64_t>(keys);
    }
    std::optional<bool> flag(std::initializer_list<std::string_view> keys) const { return value<bool>(keys); }
    std::optional<std::string> text(std::initializer_list<std::string_view> keys) const {
        return value<std::string>(keys);
    }

private:
    template <class T>
    std::optional<T> value(std::initializer_list<std::string_view> keys) const {
        if (empty()) return std::nullopt;
        for (const std::string_view key : keys)
            if (const auto found = if_present<T>(object_, std::string(key), who_)) return found;
        return std::nullopt;
    }

    json object_ = json::object();
    std::string who_;
    std::shared_ptr<const compressed_schemes> schemes_;
};

} // namespace bitlens
