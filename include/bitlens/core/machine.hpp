#pragma once
/// What this process may use of the machine: cores and memory, as its control group (cgroup v1 or v2) and its own
/// limits (ulimit) say.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <sched.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

namespace bitlens {

namespace detail {

/// The limits of a control group hold for all groups below it, so the smallest on the way to the root counts.
/// `read_limit` is called with each folder on that way.
template <class F>
void for_each_cgroup_folder(F read_limit) {
    std::ifstream groups("/proc/self/cgroup"); // lines hierarchy:controllers:path
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':');
        const auto second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
        for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
            if (path == "/") path.clear();
            read_limit(root + path);
            if (path.empty()) break;
        }
    }
}

inline std::optional<double> read_number(std::string const& path) {
    std::ifstream file(path);
    double value = 0;
    if (file >> value) return value; // the word "max" is no number: no limit
    return std::nullopt;
}

} // namespace detail

/// Cores this process may run on: its affinity, cut by the CPU quota of its control group, at least 1.
inline unsigned available_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    double cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
    else if (const long online = sysconf(_SC_NPROCESSORS_ONLN); online > 0)
        cores = static_cast<double>(online);
    detail::for_each_cgroup_folder([&](std::string const& folder) {
        double quota = 0, period = 0;
        if (std::ifstream v2(folder + "/cpu.max"); v2 >> quota >> period && period > 0)
            cores = std::min(cores, std::ceil(quota / period));
        const auto v1_quota = detail::read_number(folder + "/cpu.cfs_quota_us");
        const auto v1_period = detail::read_number(folder + "/cpu.cfs_period_us");
        if (v1_quota && v1_period && *v1_quota > 0 && *v1_period > 0)
            cores = std::min(cores, std::ceil(*v1_quota / *v1_period));
    });
    return std::max(1u, static_cast<unsigned>(cores));
}

/// Bytes of memory this process may have in all: the machine's, cut by the limits of its control group and its own.
inline std::uint64_t available_memory() {
    const double pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
    double bytes = pages * static_cast<double>(sysconf(_SC_PAGE_SIZE));
    detail::for_each_cgroup_folder([&](std::string const& folder) {
        for (const char* name : {"/memory.max", "/memory.limit_in_bytes"})
            if (const auto limit = detail::read_number(folder + name)) bytes = std::min(bytes, *limit);
    });
    rlimit limit{};
    for (const auto resource : {RLIMIT_AS, RLIMIT_DATA})
        if (getrlimit(resource, &limit) == 0) bytes = std::min(bytes, static_cast<double>(limit.rlim_cur));
    return static_cast<std::uint64_t>(bytes);
}

} // namespace bitlens
