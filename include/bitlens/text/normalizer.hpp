#pragma once
/// What a tokenizer does to a text before it cuts it: a short list of steps.

#include "bitlens/core/utf8.hpp"
#include "bitlens/text/unicode.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitlens {

namespace normalizer {

struct compose {};         // NFC
struct collapse_spaces {}; // no U+0020 at either end, one where there were several
struct prepend {           // before a text that is not empty
    std::string text;
};
struct replace { // every occurrence, from the left
    std::string from, to;
};
struct strip_end { // every occurrence at the end goes
    std::string text;
};
using step = std::variant<compose, collapse_spaces, prepend, replace, strip_end>;

namespace detail {
inline std::string name_of(compose) { return "NFC"; }
inline std::string name_of(collapse_spaces) { return "spaces collapsed"; }
inline std::string name_of(prepend const& s) { return s.text + " before"; }
inline std::string name_of(strip_end const& s) { return "none of " + in_quotes(s.text) + " at the end"; }
inline std::string name_of(replace const& s) { return in_quotes(s.from) + " → " + s.to; }
} // namespace detail

/// For people.
inline std::string name(step const& s) {
    return std::visit([](auto const& kind) { return detail::name_of(kind); }, s);
}

} // namespace normalizer

namespace detail {

struct normalizer_visitor {
    std::string text;

    std::string operator()(normalizer::compose) { return compose_nfc(text); }
    std::string operator()(normalizer::collapse_spaces) {
        std::string out;
        for (const char c : text)
            if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
        if (out.ends_with(' ')) out.pop_back();
        return out;
    }
    std::string operator()(normalizer::prepend const& s) { return text.empty() ? text : s.text + text; }
    std::string operator()(normalizer::strip_end const& s) {
        while (!s.text.empty() && text.ends_with(s.text)) text.resize(text.size() - s.text.size());
        return std::move(text);
    }
    std::string operator()(normalizer::replace const& s) {
        if (s.from.empty()) return std::move(text);
        std::string out;
        out.reserve(text.size() + text.size() / 4);
        std::size_t begin = 0;
        for (std::size_t at; (at = text.find(s.from, begin)) != std::string::npos; begin = at + s.from.size())
            out.append(text, begin, at - begin).append(s.to);
        return out.append(text, begin);
    }
};

} // namespace detail

/// The text after all steps. It must be valid UTF-8.
inline std::string normalize(std::span<const normalizer::step> steps, std::string_view text) {
    detail::normalizer_visitor visitor{std::string(text)};
    for (auto const& step : steps) visitor.text = std::visit(visitor, step);
    return std::move(visitor.text);
}

} // namespace bitlens
