#pragma once
/// Whether the files of a report are whole and harmless.

#include "bitlens/io/json.hpp"
#include "bitlens/report/csv.hpp"
#include "bitlens/report/html.hpp"
#include "bitlens/report/page_data.hpp"

#include "../report/markup.hpp"
#include "temporary_folder.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace bitlens::test {

/// By the path from its folder.
using report_files = std::map<std::string, std::string>;

/// Every file below a folder.
inline report_files all_files(std::filesystem::path const& folder) {
    report_files files;
    for (auto const& entry : std::filesystem::recursive_directory_iterator(folder))
        if (entry.is_regular_file())
            files[std::filesystem::relative(entry.path(), folder).string()] = read_bytes(entry.path());
    return files;
}

/// Takes each block of data out of a page; all are JSON and hold nothing that could end their element.
inline void take_data(std::string& page, std::set<std::string>& ids) {
    const std::string begin = page_data_begin("");
    const std::string_view kind = std::string_view(begin).substr(0, begin.size() - 2); // up to the id
    for (auto at = page.find(kind); at != std::string::npos; at = page.find(kind, at)) {
        const auto name = at + kind.size(), content = page.find("\">", name) + 2, end = page.find('<', content);
        const std::string id = page.substr(name, content - 2 - name);
        CAPTURE(id);
        REQUIRE(std::string_view(page).substr(end).starts_with(page_data_end));
        CHECK(parse_json(page.substr(content, end - content), id).is_object());
        CHECK(ids.insert(id).second);
        page.erase(at, end + page_data_end.size() - at);
    }
}

/// A page that loads and runs nothing but `scripts`, and leads only to places in it and to `files` beside it.
inline void check_page(std::string page, report_files const& files, std::span<const page_script> scripts) {
    for (page_script const& ours : scripts) {
        const auto script = page.find(ours.element());
        REQUIRE(script != std::string::npos);
        page.erase(script, ours.element().size());
    }
    std::set<std::string> ids;
    take_data(page, ids);
    for (auto at = page.find(" id=\""); at != std::string::npos; at = page.find(" id=\"", at + 1)) {
        const std::string id = page.substr(at + 5, page.find('"', at + 5) - at - 5);
        CHECK_MESSAGE(ids.insert(id).second, id);
    }
    for (const char* what : {"<script", "<img", "<iframe", "<link", "@import", "url(", "src=", "javascript:", "onload"})
        CHECK_MESSAGE(page.find(what) == std::string::npos, what);
    for (auto at = page.find("href=\""); at != std::string::npos; at = page.find("href=\"", at + 1)) {
        const std::string target = page.substr(at + 6, page.find('"', at + 6) - at - 6);
        CHECK_MESSAGE((target.starts_with('#') || files.contains(target)), target);
        if (target.starts_with('#')) CHECK_MESSAGE(ids.contains(target.substr(1)), target);
    }
}

/// All that a report writes is well-formed, and no number that is none is in it.
inline void check_report(report_files const& files, std::span<const page_script> scripts) {
    for (auto const& file : files) {
        std::string const &name = file.first, &bytes = file.second;
        CAPTURE(name);
        if (name == "report.html") check_page(bytes, files, scripts);
        if (name.ends_with(".svg")) CHECK(xml_complaint(bytes) == "");
        if (name.ends_with(".json")) CHECK(parse_json(bytes, name).is_object());
        if (name.ends_with(".csv")) CHECK_FALSE(csv_table(bytes, name).columns().empty());
        if (name == "tokens.npz") continue;
        for (const char* not_a_number : {"nan", "inf,", "\"inf\"", ">inf<"})
            CHECK_MESSAGE(bytes.find(not_a_number) == std::string::npos, not_a_number);
    }
}

} // namespace bitlens::test
