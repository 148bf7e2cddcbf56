#pragma once
/// page_data: numbers and anybody's text inside a page for its script to read, as JSON that nothing executes.

#include "bitlens/report/visible_text.hpp"

#include <string>
#include <string_view>

namespace bitlens {

/// A string of JSON that may stand inside an element of a page: visible_text, and no `<`, which could end the element.
/// Errors: none, whatever the bytes.
inline std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : visible_text(text)) {
        switch (c) {
        case '"':
        case '\\':
            out += '\\';
            out += c;
            break;
        case '<':
            out += "\\u003c";
            break;
        case '\n': // with the tab the only control that visible_text leaves
            out += "\\n";
            break;
        case '\t':
            out += "\\t";
            break;
        default:
            out += c;
        }
    }
    return out + '"';
}

/// What comes before and after each block of data of a page.
inline constexpr std::string_view page_data_end = "</script>\n";
inline std::string page_data_begin(std::string_view id) {
    return "<script type=\"application/json\" id=\"" + std::string(id) + "\">";
}

/// JSON, whose strings are json_string's, as the element `id` of a page. Browsers keep it and run nothing of it.
inline std::string page_data(std::string_view id, std::string_view content) {
    return page_data_begin(id) + std::string(content) + std::string(page_data_end);
}

} // namespace bitlens
