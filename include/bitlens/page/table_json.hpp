#pragma once
/// A table as JSON.

#include "bitlens/io/json.hpp"
#include "bitlens/report/table.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace bitlens {

/// A table as JSON: rows are objects by the keys of the columns; a number that is not defined is an object with the
/// reason.
inline ordered_json to_json(table const& t) {
    struct visitor {
        ordered_json operator()(std::string const& text) const { return text; }
        ordered_json operator()(double number) const { return number; }
        ordered_json operator()(std::uint64_t count) const { return count; }
        ordered_json operator()(undefined const& why) const { return {{"not_defined", why.reason}}; }
    };
    ordered_json rows = ordered_json::array();
    for (auto const& row : t.rows) {
        ordered_json object = ordered_json::object();
        for (std::size_t c = 0; c < row.size(); ++c) object[t.columns[c].key] = std::visit(visitor{}, row[c].value);
        rows.push_back(std::move(object));
    }
    return {{"title", t.title}, {"rows", std::move(rows)}, {"notes", t.notes}};
}

} // namespace bitlens
