#pragma once
/// method_choice: parts of a page of which the reader sees those of one method, without a script.

#include "bitlens/report/html.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace bitlens {

/// One part for each name, and what chooses among them. `group` is a word of ours, another one for each choice.
inline std::string method_choice(std::string_view group, std::span<const std::string> names,
                                 std::span<const std::string> parts) {
    if (parts.size() == 1) return parts.front();
    std::string out = "<div class=\"choice\">\n", shown;
    for (std::size_t v = 0; v < parts.size(); ++v) {
        const std::string number = std::to_string(v), id = std::string(group) + "-" + number;
        out += "<input type=\"radio\" name=\"" + std::string(group) + "\" id=\"" + id + "\" data-method=\"" + number +
               "\"" + (v == 0 ? " checked" : "") + "><label for=\"" + id + "\">" + html_escape(names[v]) + "</label>\n";
        shown += "<div class=\"of-" + number + "\">\n" + parts[v] + "</div>\n";
    }
    return out + shown + "</div>\n";
}

inline std::string method_choice_style(std::size_t methods) {
    std::string out =
        ".choice>input{margin:0 .35em 0 0}.choice>label{cursor:pointer;font-size:.9rem;margin-right:1.1em}\n"
        ".choice>div{display:none}\n";
    for (std::size_t v = 0; v < methods; ++v) {
        const std::string number = std::to_string(v);
        out += (v == 0 ? "" : ",") + (".choice>input[data-method=\"" + number + "\"]:checked~.of-") + number;
    }
    return methods == 0 ? out
                        : out + "{display:block}\n@media "
                                "print{.choice>input:not(:checked),.choice>input:not(:checked)+label{display:none}}\n";
}

} // namespace bitlens
