/// Figures 2 and 12 to 15: on which way up does a model come to its loss, on D_large and on D_ctrl?
///
///     r, z      states after the attention of a layer, and after its block
///     mean NLL of softmax(U · φ(r)) and softmax(U · φ(z)) at each layer of the upper half; φ: the last norm, applied
///     afresh; U: the head

#include "experiment.hpp"

#include "bitlens/page/location_figures.hpp"

#include <iostream>

namespace {

using namespace bitlens;

void show_exits(finished_study const& s, location const& l) {
    for (const exit_state state : exit_states) {
        table t{"figure_2_" + std::string(name(state)),
                "Loss of early exits from " + std::string(name(state)),
                {{"layer", "layer"}},
                {},
                {}};
        std::vector<std::pair<exit_curve const*, located_set>> columns;
        for (exit_curve const& c : l.exits)
            if (c.state == state)
                for (const located_set set : {located_set::large, located_set::ctrl}) {
                    const std::string model = c.method ? s.methods[*c.method].name : full_model_name;
                    const std::string title = model + ", " + std::string(set_title(set));
                    t.columns.push_back({title, title, 3});
                    columns.emplace_back(&c, set);
                }
        for (std::size_t i = 0; i < l.exits.front().layers.size(); ++i) {
            std::vector<cell> row{l.exits.front().layers[i]};
            for (auto const& [curve, set] : columns) row.push_back(curve->on(set)[i].value);
            t.add(std::move(row));
        }
        if (state == exit_state::z) t.notes = paper::location_notes(s, l);
        std::cout << to_text(t) << '\n';
    }
    for (figure const& f : early_exit_figures(s, l)) {
        write_figure(".", f);
        std::cout << "Figure: " << f.name << ".svg\n";
    }
}

} // namespace

int main(int argc, char** argv) { return paper::run(argc, argv, "rtn3-g64,nf3-g64", {.exits = true}, show_exits); }
