#include "bitlens/page/location_section.hpp"

#include "../report/markup.hpp"
#include "bitlens/page/run_report.hpp"
#include "located_for_test.hpp"
#include "study_for_test.hpp"

#include <array>
#include <cmath>
#include <doctest/doctest.h>
#include <set>
#include <string>
#include <vector>

using namespace bitlens;
using test::located_columns;

namespace {

constexpr std::size_t arise_rows = 240, arise_layers = 10;

/// D_large is documents 216 to 239, with a mean error of 2.275; a document's loss before quantization is 2.
double arise_error(std::size_t i) { return static_cast<double>(i) / 100; }

run_results arise_run() {
    return test::made_up_run(
        arise_rows, {"a", "a_b"}, [](std::size_t i, std::size_t) { return arise_error(i); },
        [](std::size_t i) { return 1 + test::scattered(i, 1); }, arise_layers);
}

/// As the paper has it: mlp_out gives 0.9 of the damage back, mlp_gate 0.8, mlp_up −0.5, and so on.
located_columns arise_columns() {
    located_columns c(arise_rows);
    const auto left = [](double share) { return [share](std::size_t i) { return 2 + share * arise_error(i); }; };
    c.run("a_patch_mlp_out", left(0.1));
    c.run("a_patch_mlp_gate", left(0.2));
    c.run("a_patch_mlp_up", left(1.5));
    c.run("a_patch_attn_out", left(0.75));
    c.run("a_patch_mlp_gate_in", left(0.25));
    c.run("a_restore_gate", left(0.95));
    c.run("a_restore_q", left(0.875));
    c.run("a_only_q", left(0.25));
    c.run("a_restore_late", left(0.85));
    for (std::size_t k = 0; k < arise_layers; ++k) {
        const double share = static_cast<double>(k) / arise_layers;
        c.run(location_names::restore_from("a", k), left(share));
        c.run(location_names::patch_from("a", "mlp_out", k), left(share * share));
        c.run(location_names::restore_layer("a", k), left(1 - share / 5));
        c.run(location_names::only_layer("a", k), left(share / 5));
    }
    // D_large is above D_ctrl until layer 9 of 10 and then falls: 10 − k/2 + up to 2.4 nats.
    for (std::size_t k = arise_layers / 2; k < arise_layers; ++k)
        for (const std::string model : {"full", "a"})
            for (const std::string state : {"r", "z"})
                c.exit(state + "_" + model + "_l" + std::to_string(k), [k](std::size_t i) {
                    return 10 - static_cast<double>(k) / 2 + arise_error(i) * (k == 9 ? -1 : 1);
                });
    return c;
}

struct arise_claim {
    std::string verdict, run;
};
arise_claim about(std::vector<claim> const& claims, std::string const& words) {
    for (claim const& c : claims)
        if (c.question.find(words) != std::string::npos) return {verdict(c), c.answer.text};
    throw error("no finding about " + words);
}

json row_about(table const& t, std::string const& what) {
    const json rows = to_json(t)["rows"];
    for (auto const& row : rows)
        if (row["change"] == what) return row;
    throw error("no row " + what);
}

located_run run_of(located_columns const& c) { return {c.table(), 0}; }

std::string claims_text(location_content const& c) {
    std::string text;
    for (auto const& one : c.claims) text += verdict(one) + ": " + one.question + "\n";
    return text;
}

} // namespace

TEST_CASE("the paper's table 4, with the shares that its perplexities say") { // numpy: log(q / p) / log(q / f)
    const json rows = to_json(published::patching_table())["rows"];
    REQUIRE(rows.size() == 7);
    CHECK(rows[0]["mlp_out"] == 9.73);
    CHECK(rows[0]["share_mlp_out"].get<double>() == doctest::Approx(0.8771235).epsilon(1e-6));
    CHECK(rows[0]["share_mlp_up"].get<double>() == doctest::Approx(-0.1158393).epsilon(1e-6));
    CHECK(rows[5]["mlp_up"] == 13.75);
    CHECK(rows[6]["share_mlp_up"].get<double>() == doctest::Approx(0.7098887).epsilon(1e-6));
    const json restored = to_json(published::restoring_table())["rows"];
    CHECK(restored[0]["share"].get<double>() == doctest::Approx(0.1697468).epsilon(1e-6));
    CHECK(restored[1]["changed"] == 6.53);
    CHECK(restored[2]["share"].get<double>() == doctest::Approx(0.0788705).epsilon(1e-6));
}

TEST_CASE("tables of where errors arise: perplexity, gap and share of each change, on D_large and D_ctrl") {
    const auto s = make_study(arise_run());
    const auto run = run_of(arise_columns());
    const auto c = make_location_content(s, run);
    const double full = std::exp(2.0);
    const auto out = row_about(c.patching, "mlp_out patched");
    CHECK(out["perplexity_large"].get<double>() == doctest::Approx(std::exp(2.2275)));
    CHECK(out["gap_large"].get<double>() == doctest::Approx(std::exp(2.2275) - full));
    CHECK(out["share_back_large"].get<double>() == doctest::Approx(0.9));
    CHECK(out["share_back_low_large"].get<double>() == doctest::Approx(0.9));
    CHECK(out["share_back_ctrl"].get<double>() == doctest::Approx(0.9));
    CHECK(row_about(c.patching, "full model")["gap_large"].get<double>() == 0);
    CHECK(row_about(c.patching, "quantized")["perplexity_large"].get<double>() == doctest::Approx(std::exp(4.275)));
    CHECK(row_about(c.patching, "mlp_up patched")["share_back_large"].get<double>() == doctest::Approx(-0.5));
    CHECK(c.patching.rows.size() == 6);
    CHECK(row_about(c.gates, "W_gate restored")["share_back_large"].get<double>() == doctest::Approx(0.05));
    CHECK(row_about(c.gates, "mlp_gate_in patched")["share_back_large"].get<double>() == doctest::Approx(0.75));
    CHECK(row_about(c.late, "last layer restored")["share_back_ctrl"].get<double>() == doctest::Approx(0.15));
    const auto q = row_about(c.restored_projections, "W_q restored");
    CHECK(q["nats_large"].get<double>() == doctest::Approx(2.275 / 8));
    CHECK(q["share_large"].get<double>() == doctest::Approx(0.125));
    CHECK(row_about(c.only_projections, "only W_q quantized")["share_large"].get<double>() == doctest::Approx(0.25));
    CHECK(row_about(c.restored_layers, "layer 5 restored")["share_large"].get<double>() == doctest::Approx(0.1));
    CHECK(row_about(c.only_layers, "only layer 5 quantized")["nats_large"].get<double>() == doctest::Approx(0.2275));
    CHECK(c.from_layer.rows.size() == 20);
    CHECK(row_about(c.from_layer, "mlp_out patched from layer 5 on")["share_large"].get<double>() ==
          doctest::Approx(0.75));
    CHECK(c.exits.rows.size() == 20);
    CHECK(c.about.front() == "D_large of a: 24 documents, D_ctrl of a: 24 documents; 240 documents were run.");
    CHECK(c.all_documents.rows.size() == 9 + 4 * arise_layers);
    const auto all = row_about(c.all_documents, "mlp_out patched");
    CHECK(all["documents"] == 240);
    CHECK(all["perplexity"].get<double>() == doctest::Approx(std::exp(2.1195)));
    CHECK(all["given_back"].get<double>() == doctest::Approx(1.195 * 0.9));
    CHECK(all["share_back"].get<double>() == doctest::Approx(0.9));
    CHECK(row_about(c.all_documents, "only W_q quantized")["share_back"].get<double>() == doctest::Approx(0.75));
}

TEST_CASE("the paper's findings of where errors arise, and what a run that shows them says") {
    const auto s = make_study(arise_run());
    const auto run = run_of(arise_columns());
    const auto c = make_location_content(s, run);
    CHECK(c.claims.size() == 8);
    for (claim const& one : c.claims) CHECK_MESSAGE(verdict(one) == "agrees", one.question);
    CHECK(about(c.claims, "MLP outputs").run == "a 0.90 (0.90 to 0.90)");
    CHECK(about(c.claims, "more than those of W_up").run ==
          "a mlp_gate 0.80 (0.80 to 0.80), mlp_up −0.50 (−0.50 to −0.50)");
    CHECK(about(c.claims, "Restoring W_gate").run ==
          "a W_gate restored 0.05 (0.05 to 0.05), mlp_gate_in 0.75 (0.75 to 0.75)");
    CHECK(about(c.claims, "until the last tenth").run == "full model 4 of 4 layers");
    CHECK(about(c.claims, "falls further").run.starts_with("from layer 8 to the end by "));
    CHECK(c.line ==
          "Where errors arise, on D_large of a (24 documents), as shares of the damage given back, with their "
          "95 % intervals: a most with mlp_out patched 0.90 (0.90 to 0.90), then with mlp_gate patched 0.80 "
          "(0.80 to 0.80), least with mlp_up patched −0.50 (−0.50 to −0.50).");
}

TEST_CASE("a run that shows the opposite differs, one between is not decided, few documents decide nothing") {
    const auto s = make_study(arise_run());
    const auto scatter = [](std::size_t i, double around) {
        return 2 + arise_error(i) * (around + 0.8 * (test::scattered(i, 3) - 0.5));
    };
    located_columns c(arise_rows);
    c.run("a_patch_mlp_out", [](std::size_t i) { return 2 + 0.9 * arise_error(i); });
    c.run("a_patch_mlp_gate", [&](std::size_t i) { return scatter(i, 0.5); });
    c.run("a_patch_mlp_up", [](std::size_t i) { return 2 + 0.5 * arise_error(i); });
    c.run("a_restore_late", [](std::size_t i) { return 2 + 0.1 * arise_error(i); });
    c.run("a_b_patch_attn_out", [](std::size_t i) { return i < 238 ? 2 + arise_error(i) : undefined_number; });
    const auto run = run_of(c);
    const auto content = make_location_content(s, run);
    CAPTURE(claims_text(content));
    CHECK(content.claims.size() == 5);
    CHECK(about(content.claims, "MLP outputs").verdict == "differs");
    CHECK(about(content.claims, "more than those of W_up").verdict == "not decided");
    CHECK(about(content.claims, "last 18 %").verdict == "differs");
    CHECK(about(content.claims, "attn_out").verdict == "agrees");
    CHECK(about(content.claims, "attn_out").run == "a_b 0.00 (0.00 to 0.00)");
    CHECK(content.line.find(": a most with last layer restored 0.90 (0.90 to 0.90), then with ") != std::string::npos);
    CHECK(content.line.find("; a_b most with attn_out patched 0.00 (0.00 to 0.00).") != std::string::npos);

    located_columns close(arise_rows);
    close.run("a_patch_mlp_gate", [&](std::size_t i) { return scatter(i, 0.5); });
    close.run("a_patch_mlp_up", [](std::size_t i) { return 2 + 0.5 * arise_error(i); });
    const auto close_run = run_of(close);
    CHECK(make_location_content(s, close_run).line.find(", not told apart from ") != std::string::npos);

    located_columns few(arise_rows);
    few.run("a_patch_mlp_out", [](std::size_t i) { return i >= 230 ? 2.0 : undefined_number; });
    const auto few_run = run_of(few);
    const auto of_few = make_location_content(s, few_run);
    CHECK(about(of_few.claims, "MLP outputs").verdict == "not decided");
    CHECK(about(of_few.claims, "MLP outputs").run == "a 1.00");
    CHECK(of_few.line ==
          "Where errors arise, on D_large of a (10 documents), as shares of the damage given back, of too "
          "few documents for intervals: a most with mlp_out patched 1.00.");
}

TEST_CASE("the worst documents: what each patch leaves, bold where it gives back more than half") {
    const auto s = make_study(arise_run());
    located_columns c(arise_rows);
    c.run("a_patch_mlp_out", [](std::size_t i) { // gives 0.4 of the damage back, of document 239 0.6
        return i == 238 ? undefined_number : 2 + arise_error(i) * (i == 239 ? 0.4 : 0.6);
    });
    c.run("a_only_q", [](std::size_t) { return 2.0; }); // no part of the table
    const auto run = run_of(c);
    const auto content = make_location_content(s, run);
    REQUIRE(content.worst.size() == 1);
    auto const& worst = content.worst[0];
    CHECK(worst.rows.front() == 239);
    CHECK(worst.rows.size() == 10);
    auto const& rows = worst.errors.rows;
    REQUIRE(rows[0].size() == 4);
    CHECK(std::get<double>(rows[0][2].value) == doctest::Approx(2.39));
    CHECK(std::get<double>(rows[0][3].value) == doctest::Approx(0.956));
    CHECK(rows[0][3].strong);
    CHECK(std::holds_alternative<undefined>(rows[1][3].value));
    CHECK_FALSE(rows[1][3].strong);
    CHECK(std::get<double>(rows[2][3].value) == doctest::Approx(1.422));
    CHECK_FALSE(rows[2][3].strong);
    const auto html = to_html(worst.errors);
    CHECK(html.find("<td class=\"n\"><b>0.956</b></td>") != std::string::npos);
    CHECK(html.find("<td class=\"n\">1.422</td>") != std::string::npos);
}

TEST_CASE("a report has a section for what was run, and is what it was where nothing was") {
    const test::temporary_folder folder;
    test::write_run(
        folder.path(), arise_rows, {"a", "a_b"}, [](std::size_t i, std::size_t) { return arise_error(i); },
        [](std::size_t i) { return 1 + test::scattered(i, 1); }, arise_layers);
    const auto s = make_study(read_run(folder.path()));
    const auto files = [&] {
        std::map<std::string, std::string> all;
        for (auto const& entry : std::filesystem::recursive_directory_iterator(folder.path()))
            if (entry.is_regular_file()) all[entry.path().filename().string()] = test::read_bytes(entry.path());
        return all;
    };
    CHECK(write_report(folder.path()).lines.size() == 7);
    const auto without = files();
    CHECK(without.at("report.html").find("arise") == std::string::npos);
    CHECK(without.at("summary.json").find("published_patching") == std::string::npos);
    write_report(folder.path(), s, located_run{located_columns(arise_rows).table(), 0});
    CHECK(files() == without);

    const auto summary = write_report(folder.path(), s, run_of(arise_columns()));
    CHECK(summary.lines.size() == 8);
    CHECK(summary.lines.back().starts_with("Where errors arise"));
    const auto with = files();
    auto const& page = with.at("report.html");
    CHECK(page.find("<a href=\"#arise\">Where errors arise</a>") != std::string::npos);
    CHECK(page.find("<h2 id=\"arise\">") != std::string::npos);
    CHECK(page.find("nan") == std::string::npos);
    for (auto at = page.find("href=\"#"); at != std::string::npos; at = page.find("href=\"#", at + 1)) {
        const std::string id = page.substr(at + 7, page.find('"', at + 7) - at - 7);
        CHECK_MESSAGE(page.find("id=\"" + id + "\"") != std::string::npos, id);
    }
    std::set<std::string> ids;
    for (auto at = page.find(" id=\""); at != std::string::npos; at = page.find(" id=\"", at + 1)) {
        const std::string id = page.substr(at + 5, page.find('"', at + 5) - at - 5);
        CHECK_MESSAGE(ids.insert(id).second, id);
    }
    const auto json = read_json_file(folder.path() / "summary.json");
    for (const char* name : {"location_patching", "location_gates", "location_late", "location_restored_projections",
                             "location_only_projections", "location_restored_layers", "location_only_layers",
                             "location_from_layer", "early_exit", "location_worst_a", "location_all_documents"})
        CHECK_MESSAGE(json["tables"].contains(name), name);
    CHECK(json["tables"]["claims"]["rows"].size() == claims::all.size() + 8);
    CHECK(json["published"]["published_patching"]["rows"].size() == 7);
    for (const char* name : {"figure_02_early_exit_a.svg", "location_from_layer.svg", "location_one_layer.svg"}) {
        REQUIRE_MESSAGE(with.contains(name), name);
        CHECK(xml_complaint(with.at(name)) == "");
    }
    write_report(folder.path(), s, run_of(arise_columns()));
    CHECK(files() == with);
}

TEST_CASE("each experiment alone has its part of the page, and no other") {
    const auto s = make_study(arise_run());
    const auto parts_of = [&](located_columns const& c) {
        const auto run = run_of(c);
        const auto content = make_location_content(s, run);
        std::set<std::string> names;
        for (table const* t : tables_of(content)) names.insert(t->name);
        for (figure const* f : figures_of(content)) names.insert("figure " + f->name);
        return names;
    };
    using parts = std::set<std::string>;
    located_columns late(arise_rows), exits(arise_rows), full_exits(arise_rows), only(arise_rows), curve(arise_rows);
    late.run("a_restore_late", [](std::size_t) { return 2.5; });
    CHECK(parts_of(late) == parts{"location_late", "location_worst_a", "location_all_documents"});
    exits.exit("z_frozen_a_l3", [](std::size_t) { return 2.5; });
    CHECK(parts_of(exits) == parts{"early_exit", "figure figure_02_frozen_exit_a"});
    full_exits.exit("r_full_l3", [](std::size_t) { return 2.5; });
    CHECK(parts_of(full_exits) == parts{"early_exit"});
    only.run("a_b_only_l2", [](std::size_t) { return 2.5; });
    CHECK(parts_of(only) == parts{"location_only_layers", "location_all_documents", "figure location_one_layer"});
    curve.run("a_b_restore_from_l2", [](std::size_t) { return 2.5; });
    CHECK(parts_of(curve) == parts{"location_from_layer", "location_all_documents", "figure location_from_layer"});
    CHECK(parts_of(located_columns(arise_rows)).empty());
}
