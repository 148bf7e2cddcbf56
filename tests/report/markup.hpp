#pragma once
/// A small check that markup is well-formed XML: tags nest and close, attributes are quoted, no stray < or &.

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// The first place where `xml` is not well-formed, in words; empty when it is. Knows elements, attributes, text and the
/// five named and numeric references: all that our SVG uses.
inline std::string xml_complaint(std::string_view xml) {
    std::vector<std::string> open;
    bool had_root = false;
    const auto near = [&](std::size_t at) { return " near '" + std::string(xml.substr(at, 40)) + "'"; };
    for (std::size_t at = 0; at < xml.size();) {
        const char c = xml[at];
        if (c == '&') {
            const auto end = xml.find(';', at);
            if (end == std::string_view::npos || end - at > 7) return "a bare &" + near(at);
            at = end + 1;
        } else if (c != '<') {
            const auto byte = static_cast<unsigned char>(c);
            if (byte < 0x20 && byte != '\t' && byte != '\n') return "a control character" + near(at);
            if (open.empty() && !std::isspace(byte)) return "text outside the root" + near(at);
            ++at;
        } else {
            const auto end = xml.find('>', at);
            if (end == std::string_view::npos) return "a tag without end" + near(at);
            std::string_view tag = xml.substr(at + 1, end - at - 1);
            if (tag.find('<') != std::string_view::npos) return "a bare <" + near(at);
            if (tag.starts_with('/')) {
                if (open.empty() || open.back() != tag.substr(1)) return "a wrong closing tag" + near(at);
                open.pop_back();
            } else {
                const bool is_closed = tag.ends_with('/');
                if (is_closed) tag.remove_suffix(1);
                if (open.empty() && had_root) return "a second root" + near(at);
                had_root = true;
                const auto name_end = std::min(tag.find(' '), tag.size());
                std::string_view rest = tag.substr(name_end);
                while (!rest.empty()) {
                    const auto quote = rest.find("=\"");
                    if (quote == std::string_view::npos || rest[0] != ' ') return "a malformed attribute" + near(at);
                    const auto close = rest.find('"', quote + 2);
                    if (close == std::string_view::npos) return "an attribute without end" + near(at);
                    rest.remove_prefix(close + 1);
                }
                if (!is_closed) open.emplace_back(tag.substr(0, name_end));
            }
            at = end + 1;
        }
    }
    if (!open.empty()) return "<" + open.back() + "> is never closed";
    return had_root ? "" : "no element";
}
