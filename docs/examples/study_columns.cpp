#include <bitlens/analysis/document_measurement.hpp>

#include <cstdio>
#include <string>

int main() {
    using bitlens::column_shape;
    const char* const files[] = {"examples.csv, one number per document",
                                 "examples.csv, one number per document and layer",
                                 "tokens.npz, one number per document and position"};
    for (const auto shape : {column_shape::document, column_shape::layer, column_shape::position}) {
        std::printf("%s\n", files[static_cast<std::size_t>(shape)]);
        for (auto const& c : bitlens::document_statistics{}.columns()) {
            if (c.shape != shape) continue;
            const std::string name = c.stored_name("<m>") + (shape == column_shape::layer ? "_l<k>" : "");
            std::printf("  %-18s %-12s %-19s %s\n", name.c_str(), std::string(bitlens::name(c.owner)).c_str(),
                        c.unit.c_str(), c.meaning.c_str());
        }
    }
}
