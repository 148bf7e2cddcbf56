#pragma once
/// module_log: what a walk over a model says of each linear layer, as CSV beside the quantized model.

#include "bitlens/core/error.hpp"
#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/report/csv.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// One linear layer, or for a search of scales those that read one input. What a method does not have is left out.
struct module_record {
    std::size_t layer = 0;
    std::string module;                    ///< "q_proj", or "q_proj+k_proj+v_proj"
    std::optional<double> loss{};          ///< what the method makes as small as it can
    std::optional<double> relative_loss{}; ///< over the same of weights that are all 0
    std::optional<double> damp{};          ///< that was used, as a share of the mean of the Hessian's diagonal
    std::optional<double> condition{};     ///< of the damped Hessian, estimated
    std::optional<double> ratio{};         ///< exponent of the scales that were chosen
    double seconds = 0;
    std::string note{}; ///< what else happened; nothing is done silently
};

/// DIR/modules.csv: rows of finished layers, complete or not at all. Seconds differ between equal runs.
class module_log {
public:
    /// Goes on with what is there.   Errors: io_error; format_error for a file that is no such log.
    module_log(std::filesystem::path const& folder, std::string named)
        : path_(folder / "modules.csv"), method_(std::move(named)) {
        if (!is_occupied(path_)) return;
        const mapped_file file(path_);
        const csv_table found(as_text(file.bytes()), path_.string());
        const std::size_t layer = found.column("layer"), module = found.column("module"), note = found.column("note");
        std::array<std::vector<std::optional<double>>, numbers.size()> columns;
        for (std::size_t i = 0; i < numbers.size(); ++i) columns[i] = found.optional_numbers(numbers[i].name);
        const auto seconds = found.numbers("seconds");
        for (std::size_t r = 0; r < seconds.size(); ++r) {
            module_record record{found.count(r, layer), found.text(r, module)};
            for (std::size_t i = 0; i < numbers.size(); ++i) record.*numbers[i].member = columns[i][r];
            record.seconds = seconds[r];
            record.note = found.text(r, note);
            records_.push_back(std::move(record));
        }
    }

    std::vector<module_record> const& records() const noexcept { return records_; }

    /// Writes all of them, with these in place of what is there of the layer.   Errors: io_error.
    void set(std::size_t layer, std::vector<module_record> of_layer) {
        std::erase_if(records_, [&](auto const& record) { return record.layer == layer; });
        for (auto& record : of_layer) records_.push_back(std::move(record));
        std::vector<std::string> names{"layer", "module", "method"};
        for (auto const& number : numbers) names.emplace_back(number.name);
        names.insert(names.end(), {"seconds", "note"});
        csv_writer csv(names);
        for (auto const& record : records_) {
            csv.count(record.layer).text(record.module).text(method_);
            for (auto const& number : numbers)
                if (auto const& value = record.*number.member; value && std::isfinite(*value))
                    csv.number(*value);
                else
                    csv.empty();
            csv.number(record.seconds).text(record.note);
            csv.end_row();
        }
        write_file_atomically(path_, csv.bytes());
    }

private:
    struct number_column {
        const char* name;
        std::optional<double> module_record::*member;
    };
    static constexpr std::array<number_column, 5> numbers{{{"loss", &module_record::loss},
                                                           {"relative_loss", &module_record::relative_loss},
                                                           {"damp", &module_record::damp},
                                                           {"condition", &module_record::condition},
                                                           {"ratio", &module_record::ratio}}};

    std::filesystem::path path_;
    std::string method_;
    std::vector<module_record> records_;
};

} // namespace bitlens
