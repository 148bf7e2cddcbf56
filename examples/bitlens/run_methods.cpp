/// The methods of a run folder.

#include "run_methods.hpp"

#include "model_runs.hpp"
#include "setting.hpp"

#include "bitlens/core/error.hpp"

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace bitlens::command {

namespace {

void link_folders(std::filesystem::path const& run, std::vector<method> const& methods) {
    for (auto const& m : methods) {
        const auto link = quantized_in_run(run, m.name);
        std::error_code code;
        if (m.folder.empty() || m.folder == link || std::filesystem::exists(link, code)) continue;
        std::filesystem::create_directories(link.parent_path(), code);
        if (!code) std::filesystem::create_symlink(std::filesystem::absolute(m.folder), link, code);
        if (code) throw io_error(link.string() + ": cannot be made: " + code.message());
    }
}

} // namespace

std::vector<run_method> named(std::vector<method> const& methods, std::vector<planned_quantization> const& plans) {
    std::vector<run_method> all;
    for (auto const& m : methods) all.push_back({m.name, m.text()});
    for (std::size_t i = 0; i < methods.size(); ++i) {
        if (methods[i].folder.empty()) continue;
        all[i].quantized = identity_of_stored(methods[i]);
        all[i].origin = origin_of_stored(methods[i]);
    }
    for (auto const& plan : plans) {
        all[plan.method].quantized = plan.identity;
        all[plan.method].origin = calibrated_on(plan.manifest);
    }
    return all;
}

std::vector<method> quantized_methods(quantization_setting const& setting,
                                      std::vector<planned_quantization> const& plans, std::vector<method> asked_for,
                                      machine const& here, std::filesystem::path const& run,
                                      run_manifest const& manifest) {
    if (manifest.methods.empty())
        throw option_error("--methods: at least one is expected; what exists:", method::existing());
    quantize_methods(setting, plans, asked_for, here);
    link_folders(run, asked_for);
    std::vector<method> methods;
    for (run_method const& m : manifest.methods) methods.push_back(method_of_run(run, m));
    return methods;
}

std::string full_text(checkpoint const& source) {
    const std::string grid = grid_text(source);
    return source.format_description() + (grid.empty() ? "" : "; on a low-bit grid already (" + grid + ")");
}

} // namespace bitlens::command
