#pragma once
/// HTML that may show anybody's text: escaping, and a page that stands alone and loads nothing.

#include "bitlens/report/visible_text.hpp"

#include <span>
#include <string>
#include <string_view>

namespace bitlens {

/// Any bytes as they may stand in HTML and XML, in an element or a quoted attribute: visible_text with references for
/// & < > " '. Errors: none.
inline std::string html_escape(std::string_view text) {
    std::string out;
    for (const char c : visible_text(text)) {
        switch (c) {
        case '&':
            out += "&amp;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '"':
            out += "&quot;";
            break;
        case '\'':
            out += "&#39;";
            break;
        default:
            out += c;
        }
    }
    return out;
}

/// How pages of this library look: light and dark as the reader's system says, on a phone, a screen and paper.
inline std::string_view page_style() noexcept {
    return R"(:root{color-scheme:light dark;--paper:#fff;--ink:#1c1e21;--soft:#5c636b;--line:#dcdfe3;--shade:#f5f6f8;--accent:#0a5ea8}
@media screen and (prefers-color-scheme:dark){:root{--paper:#15171a;--ink:#e6e7e9;--soft:#a0a7af;--line:#34383d;--shade:#1e2125;--accent:#7cb8f2}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.25rem;line-height:1.3;margin:2.75rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.75rem 0 .25rem}
p{max-width:46rem;margin:.5rem 0}
a{color:var(--accent)}
bdi{overflow-wrap:anywhere}
code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.9em}
.soft,figcaption,.note{color:var(--soft);font-size:.875rem}
.note{margin:.25rem 0}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1rem;font-size:.9rem;margin:1rem 0}
.summary{background:var(--shade);border-left:4px solid var(--accent);padding:.75rem 1rem;margin:1.25rem 0}
.summary ul{margin:0;padding-left:1.1rem}
.summary li{margin:.3rem 0;overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums lining-nums}
th,td{padding:.3rem .75rem .3rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:baseline}
th{color:var(--soft);font-weight:600;vertical-align:bottom}
th.n,td.n{text-align:right;padding:.3rem 0 .3rem .75rem}
.n+td:not(.n),.n+th:not(.n){padding-left:1.25rem}
td.n,td.name{white-space:nowrap}
td:not(.n):not(.name){min-width:9rem}
td.undefined{color:var(--soft);font-style:italic}
figure{margin:1rem 0}
figure svg{max-width:100%;height:auto;display:block}
details{margin:.75rem 0}
summary{cursor:pointer;color:var(--accent);font-size:.9rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.25rem 0;font-size:.875rem}
dl dl{margin:0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
@media(max-width:40rem){main{padding:1.25rem .9rem 3rem}body{font-size:15px}dl{grid-template-columns:1fr}dl dd{margin-left:1rem}}
@media print{main{max-width:none;padding:0}body{font-size:10pt}nav{display:none}h2{break-after:avoid}figure,table{break-inside:avoid}.scroll{overflow:visible}}
)";
}

/// A script of ours, and what a page says it may run: base64 of the SHA-256 of its code.
struct page_script {
    std::string_view code, sha256;

    /// As it stands in a page.
    std::string element() const { return "<script>" + std::string(code) + "</script>\n"; }
};

/// A whole page in one file. `title` is text; `style` (after page_style) and `body` are HTML of ours. The page forbids
/// itself to load anything, and to run anything but `scripts`.
inline std::string html_page(std::string_view title, std::string_view style, std::string_view body,
                             std::span<const page_script> scripts = {}) {
    std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                       "'unsafe-inline'";
    for (std::string_view before = "; script-src"; page_script const& script : scripts) {
        page += std::string(before) + " 'sha256-" + std::string(script.sha256) + "'";
        before = "";
    }
    page += "\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";
    page += html_escape(title);
    page += "</title>\n<style>\n";
    page += page_style();
    page += style;
    page += "</style>\n</head>\n<body>\n<main>\n";
    page += body;
    page += "</main>\n";
    for (page_script const& script : scripts) page += script.element();
    page += "</body>\n</html>\n";
    return page;
}

} // namespace bitlens
