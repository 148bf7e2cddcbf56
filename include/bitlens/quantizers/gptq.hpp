#pragma once
/// gptq: columns are rounded one after the other, and those still to come make up for the error of each.

#include "bitlens/core/machine.hpp"
#include "bitlens/core/parallel.hpp"
#include "bitlens/core/shape_check.hpp"
#include "bitlens/core/stopwatch.hpp"
#include "bitlens/kernels/matmul.hpp"
#include "bitlens/quantizers/affine_grid.hpp"
#include "bitlens/quantizers/input_hessian.hpp"
#include "bitlens/quantizers/inverse_factor.hpp"
#include "bitlens/quantizers/quantizer.hpp"
#include "bitlens/quantizers/rows.hpp"
#include "bitlens/quantizers/uniform_rule.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bitlens {

/// The knobs of GPTQ.
struct gptq_options {
    double damp = 0.01;           ///< of the mean of H's diagonal, added to it
    double damp_increment = 0.01; ///< added to damp while H is not positive definite, as long as damp stays below 1
    bool act_order = true;        ///< columns by falling diagonal of H
    bool static_groups = false;   ///< grids of all groups before the first column is rounded
    bool group_aware = false;     ///< columns by falling diagonal inside their group, groups by their largest
    std::size_t block = 128;      ///< columns between two updates of all columns to come
    double mse = 0;               ///< exponent of the search for each group's range; 0: least and largest weight
    /// A group's grid is laid over weights as they are when its first column comes. Off: as they were when the block
    /// of that column began, which is what the original does.
    bool fresh_groups = false;

    bool operator==(gptq_options const&) const = default;
};

/// What one matrix met.
struct gptq_log {
    static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

    double loss = unknown; ///< Σ (w − ŵ)²/(2·U_ii²), with H = 2/tokens · Σ x·xᵀ; unknown where no factor was used
    double relative_loss = unknown; ///< of Σ w²
    double damp_used = 0;
    double floor_used = 0;         ///< added to H's diagonal, because no damp below 1 was enough
    double condition = unknown;    ///< (largest/smallest U_ii)²: the damped H's condition number is at least this
    std::size_t dead_columns = 0;  ///< inputs that are always zero: their weights become zero
    std::size_t attempts = 0;      ///< factors tried
    bool fell_back_to_rtn = false; ///< no factor was found: weights are rounded to the nearest
    bool saw_no_tokens = false;    ///< the same, because there is no input to go by
    double factor_seconds = 0, quantize_seconds = 0;
};

/// A quantized matrix of any uniform format: ŵ(r, order[k]) = scales(r, g) · (codes(r, k) − zeros(r, g)), g the group
/// of place k.
struct gptq_result {
    std::size_t group_columns = 0;
    matrix<std::uint8_t> codes;       ///< (rows, places)
    matrix<float> scales;             ///< (rows, groups)
    matrix<std::uint8_t> zeros;       ///< (rows, groups); symmetric codes too
    std::vector<std::uint32_t> order; ///< the column of each place; none where each lies at its own

    std::size_t groups() const noexcept { return scales.cols(); }
};

/// What GPTQ makes of a layer's inputs before it looks at a weight: matrices with the same inputs (q, k and v; gate and
/// up) can share it.
class gptq_inputs {
public:
    /// group_size: columns of a group, 0 for the whole row.   Errors: option_error for knobs that mean nothing.
    gptq_inputs(input_hessian const& inputs, gptq_options const& options, std::size_t group_size,
                unsigned tasks = available_cores())
        : options_(options), group_columns_(group_size == 0 ? inputs.width() : group_size) {
        check(options);
        const stopwatch watch;
        order_.resize(inputs.width());
        std::iota(order_.begin(), order_.end(), 0u);
        log_.saw_no_tokens = inputs.tokens() == 0;
        if (!log_.saw_no_tokens) {
            const double scale = 2 / static_cast<double>(inputs.tokens());
            std::vector<double> diagonal(inputs.width());
            dead_.resize(inputs.width());
            for (std::size_t c = 0; c < diagonal.size(); ++c) {
                diagonal[c] = scale * inputs.sum(c, c);
                dead_[c] = diagonal[c] == 0;
                if (!dead_[c]) continue;
                diagonal[c] = 1;
                ++log_.dead_columns;
            }
            if (options.act_order)
                sort_by(diagonal, order_);
            else if (options.group_aware)
                order_ = group_aware_order(diagonal);
            factorize(inputs, scale, diagonal, tasks);
        }
        log_.factor_seconds = watch.seconds();
    }

    std::size_t width() const noexcept { return order_.size(); }
    gptq_options const& options() const noexcept { return options_; }
    std::size_t group_columns() const noexcept { return group_columns_; }
    /// The column that is rounded at each step.
    std::span<const std::uint32_t> order() const noexcept { return order_; }
    /// Whether the input of a column is always zero.
    bool is_dead(std::size_t c) const noexcept { return !dead_.empty() && dead_[c]; }
    /// U of H with its rows and columns in that order; none: weights are rounded to the nearest.
    std::optional<inverse_factor> const& factor() const noexcept { return factor_; }
    /// What is known before there is a matrix.
    gptq_log const& log() const noexcept { return log_; }

private:
    static void check(gptq_options const& o) {
        const auto refuse = [](const char* knob, double found, const char* expected) {
            throw option_error(std::string("gptq: ") + knob + " is " + std::to_string(found) + ", expected " +
                               expected);
        };
        if (!(o.damp >= 0) || !std::isfinite(o.damp)) refuse("damp", o.damp, "a number from 0 on");
        if (!(o.damp_increment >= 0) || !std::isfinite(o.damp_increment))
            refuse("damp_increment", o.damp_increment, "a number from 0 on");
        if (!(o.mse >= 0) || !std::isfinite(o.mse)) refuse("mse", o.mse, "0 or a positive exponent");
        if (o.block == 0) refuse("block", 0, "at least one column");
        if (o.act_order && o.group_aware)
            throw option_error("gptq: act_order and group_aware are two orders of the columns, expected one of them");
    }

    /// By falling value; equal ones as they stand.
    static void sort_by(std::span<const double> values, std::span<std::uint32_t> indices) {
        std::stable_sort(indices.begin(), indices.end(),
                         [&](std::uint32_t a, std::uint32_t b) { return values[a] > values[b]; });
    }

    /// Inside each whole group by falling diagonal, and whole groups by their largest; what is left over stays last.
    std::vector<std::uint32_t> group_aware_order(std::span<const double> diagonal) const {
        const std::size_t groups = group_columns_ == 0 ? 0 : width() / group_columns_;
        std::vector<std::uint32_t> inside(order_), order;
        std::vector<std::uint32_t> outside(groups);
        std::vector<double> largest(groups);
        for (std::size_t g = 0; g < groups; ++g) {
            const auto group = std::span(inside).subspan(g * group_columns_, group_columns_);
            sort_by(diagonal, group);
            outside[g] = static_cast<std::uint32_t>(g);
            largest[g] = diagonal[group.front()];
        }
        sort_by(largest, outside);
        for (const std::size_t g : outside) {
            const auto group = std::span(inside).subspan(g * group_columns_, group_columns_);
            order.insert(order.end(), group.begin(), group.end());
        }
        order.insert(order.end(), inside.begin() + static_cast<std::ptrdiff_t>(order.size()), inside.end());
        return order;
    }

    /// Finds the least damp of the ladder with which H has a factor; if none has, with ever larger floors.
    void factorize(input_hessian const& inputs, double scale, std::span<const double> diagonal, unsigned tasks) {
        std::vector<double> damps{options_.damp};
        if (options_.damp_increment > 0)
            while (damps.back() + options_.damp_increment < 1) damps.push_back(damps.back() + options_.damp_increment);
        double largest = 0, mean = 0;
        for (const double d : diagonal) {
            largest = std::max(largest, std::abs(d));
            mean += d;
        }
        mean /= static_cast<double>(width());
        double floor = 0;
        const auto attempt = [&](double damp) {
            ++log_.attempts;
            double floored_mean = 0;
            for (const double d : diagonal) floored_mean += std::max(d + floor, floor);
            const double added = damp * (floor == 0 ? mean : floored_mean / static_cast<double>(width()));
            return inverse_factor::of(
                width(),
                [&](std::size_t i, std::size_t j) {
                    const std::uint32_t a = order_[i], b = order_[j];
                    if (i != j) return scale * inputs.sum(a, b);
                    return (floor == 0 ? diagonal[a] : std::max(diagonal[a] + floor, floor)) + added;
                },
                tasks);
        };
        constexpr int floors = 6;
        for (int k = 0; k <= floors && !factor_; ++k) {
            if (k > 0) floor = 1e-6 * (largest == 0 ? 1 : largest) * std::pow(10.0, k - 1);
            std::size_t low = 0, high = damps.size() - 1; // low has none; the more damp, the more positive H is
            if ((factor_ = attempt(damps[low])).has_value())
                high = low;
            else if (high > low && (factor_ = attempt(damps[high])).has_value())
                while (high - low > 1) {
                    const std::size_t middle = (low + high) / 2;
                    if (auto found = attempt(damps[middle])) {
                        factor_ = std::move(found);
                        high = middle;
                    } else {
                        low = middle;
                    }
                }
            log_.damp_used = damps[high];
            log_.floor_used = floor;
        }
        log_.fell_back_to_rtn = !factor_;
        if (!factor_) {
            log_.damp_used = log_.floor_used = 0;
            return;
        }
        float least = std::numeric_limits<float>::infinity(), most = 0;
        for (std::size_t i = 0; i < width(); ++i) {
            least = std::min(least, (*factor_)(i, i));
            most = std::max(most, (*factor_)(i, i));
        }
        if (width() > 0) log_.condition = std::pow(double{most} / double{least}, 2);
    }

    gptq_options options_;
    std::size_t group_columns_;
    std::vector<std::uint32_t> order_;
    std::vector<bool> dead_;
    std::optional<inverse_factor> factor_;
    gptq_log log_;
};

namespace detail {

/// The run of GPTQ over one matrix. Weights lie as inverse_factor holds U, the column of step k at place n − 1 − k, so
/// that all products have the form x · wᵀ. A column that has been rounded makes room for its errors (w − ŵ)/U_kk. A
/// block's columns are corrected when its turn comes, by every block before in order: the sums are rounded where the
/// original rounds them, which corrects all columns after every block.
class gptq_run {
public:
    gptq_run(matrix_view<const float> w, gptq_inputs const& inputs, uniform_rule codes, unsigned tasks)
        : w_(w), inputs_(inputs), codes_(codes), tasks_(tasks), n_(w.cols), stride_(apart(n_)),
          numbers_(w.rows * stride_), losses_(w.rows) {
        result.group_columns = inputs.group_columns();
        const std::size_t groups = n_ == 0 ? 0 : (n_ + result.group_columns - 1) / result.group_columns;
        result.codes = matrix<std::uint8_t>(w.rows, n_);
        result.scales = matrix<float>(w.rows, groups);
        result.zeros = matrix<std::uint8_t>(w.rows, groups);
        sorted_groups_ = inputs.options().act_order && !inputs.options().static_groups && groups > 1 &&
                         !std::is_sorted(inputs.order().begin(), inputs.order().end());
        if (sorted_groups_) result.order.assign(inputs.order().begin(), inputs.order().end());
    }

    /// Rows do not know of each other: a task takes some of them through all columns.
    void run() {
        const auto blocks = plan();
        const std::size_t share = (w_.rows + tasks_ - 1) / tasks_,
                          pieces = (share + most_rows - 1) / most_rows * tasks_;
        parallel_pieces(w_.rows, std::max<std::size_t>(1, pieces), tile_rows,
                        [&](std::size_t, std::size_t begin, std::size_t end) { run_rows(begin, end - begin, blocks); });
    }

    double loss() const { return std::accumulate(losses_.begin(), losses_.end(), 0.0); }

    gptq_result result;

private:
    using vec = simd::batch<float, simd::default_arch>;
    static constexpr std::size_t tile_rows = 32;  // rounded at once
    static constexpr std::size_t most_rows = 256; // of a product: enough for each to be worth its operands
    static_assert(tile_rows % vec::size == 0);

    /// Steps begin … end − 1; groups that begin there have columns before `reach`.
    struct steps {
        std::size_t begin, end, reach;
    };

    /// What a task works in.
    struct buffers {
        buffers(std::size_t block, std::size_t ahead, std::size_t rows, std::size_t bytes)
            : scratch(bytes), products(rows, std::max(block, ahead)), later(rows, ahead), factor(block, apart(block)),
              weights(block * tile_rows), codes(block * tile_rows) {}
        workspace scratch;
        matrix<float> products, later;   // later: columns beyond a block that are in a group of it
        matrix<float> factor;            // (place, place before), of a block
        aligned_array<float> weights;    // [place][row]
        std::vector<std::uint8_t> codes; // [place][row]
        std::vector<float> group;
    };

    void run_rows(std::size_t first, std::size_t rows, std::vector<steps> const& blocks) {
        for (std::size_t r = first; r < first + rows; ++r) lay_out(r);
        std::size_t widest = 0, furthest = 0, bytes = 0;
        for (auto const& b : blocks) {
            widest = std::max(widest, b.end - b.begin);
            furthest = std::max(furthest, b.reach - b.end);
        }
        if (inputs_.factor())
            for (auto const& b : blocks)
                bytes = std::max(bytes, matmul_bytes(std::max(widest, furthest), b.end - b.begin, rows, 1));
        buffers own(widest, furthest, rows, bytes);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            steps const& b = blocks[i];
            const auto before = std::span(blocks).first(inputs_.factor() ? i : 0);
            const auto here = places(first, rows, b.begin, b.end);
            const matrix_view<float> later(own.later.data(), rows, b.reach - b.end);
            copy_rows(places(first, rows, b.end, b.reach), later);
            correct(here, first, b.begin, b.end, before, own);
            correct(later, first, b.end, b.reach, before, own);
            if (inputs_.factor())
                transpose_rows(
                    inputs_.factor()->reversed().middle_rows(n_ - b.end, here.cols).middle_cols(n_ - b.end, here.cols),
                    own.factor.view().middle_rows(0, here.cols).middle_cols(0, here.cols));
            for (std::size_t r = 0; r < rows; r += tile_rows)
                round_block(first + r, std::min(tile_rows, rows - r), b,
                            later.middle_rows(r, std::min(tile_rows, rows - r)), own);
        }
        for (std::size_t r = first; r < first + rows; ++r)
            if (!std::isfinite(losses_[r]))
                throw format_error("gptq: the corrections of row " + std::to_string(r) +
                                   " leave float32; a larger damp is expected");
    }

    /// Steps begin … end − 1 of some rows.
    matrix_view<float> places(std::size_t first, std::size_t rows, std::size_t begin, std::size_t end) noexcept {
        return {numbers_.data() + first * stride_ + (n_ - end), rows, end - begin, stride_};
    }

    /// Takes off the weights of steps begin … end − 1 what the blocks before them say.
    void correct(matrix_view<float> weights, std::size_t first, std::size_t begin, std::size_t end,
                 std::span<const steps> before, buffers& own) {
        if (begin == end) return;
        for (steps const& b : before) {
            const matrix_view<float> products(own.products.data(), weights.rows, weights.cols);
            const auto factor = inputs_.factor()->reversed().middle_rows(n_ - end, end - begin);
            matmul(factor.middle_cols(n_ - b.end, b.end - b.begin), places(first, weights.rows, b.begin, b.end),
                   products, own.scratch);
            for (std::size_t r = 0; r < weights.rows; ++r) {
                float* const to = weights.row(r).data();
                const float* const from = products.row(r).data();
                for (std::size_t c = 0; c < weights.cols; ++c) to[c] -= from[c];
            }
        }
    }

    bool grids_on_the_way() const { return codes_.group_size != 0 && !inputs_.options().static_groups; }
    std::size_t group_of_step(std::size_t k) const {
        return (sorted_groups_ ? k : inputs_.order()[k]) / result.group_columns;
    }
    std::span<float> row(std::size_t r) noexcept { return {numbers_.data() + r * stride_, n_}; }

    void set_grid(std::size_t r, std::size_t g, std::span<const float> group) {
        const double mse = inputs_.options().mse;
        const affine_grid grid =
            mse == 0 ? min_max_grid(group, codes_.codes()) : searched_grid(group, codes_.codes(), mse);
        if (!std::isfinite(grid.scale))
            throw format_error("gptq: the weights of row " + std::to_string(r) + ", group " + std::to_string(g) +
                               ", span more than float32 can hold");
        result.scales(r, g) = grid.scale;
        result.zeros(r, g) = static_cast<std::uint8_t>(grid.zero);
    }

    /// Row r in the order of steps, and the grids that are known before the first of them. That of a whole row is laid
    /// before weights of dead columns become zero, as in the original.
    void lay_out(std::size_t r) {
        const auto from = w_.row(r);
        check_finite("gptq", from, r, 0);
        const auto order = inputs_.order();
        const auto place = row(r);
        for (std::size_t k = 0; k < n_; ++k) place[n_ - 1 - k] = inputs_.is_dead(order[k]) ? 0 : from[order[k]];
        if (codes_.group_size == 0 && n_ > 0) set_grid(r, 0, from);
        if (codes_.group_size == 0 || !inputs_.options().static_groups) return;
        std::vector<float> alive(from.begin(), from.end());
        for (std::size_t c = 0; c < n_; ++c)
            if (inputs_.is_dead(c)) alive[c] = 0;
        for (std::size_t g = 0; g < result.groups(); ++g) {
            const std::size_t first = g * result.group_columns;
            set_grid(r, g, std::span(alive).subspan(first, std::min(result.group_columns, n_ - first)));
        }
    }

    std::vector<steps> plan() const {
        std::vector<steps> blocks;
        const std::size_t group = result.group_columns;
        for (std::size_t k = 0; k < n_;) {
            std::size_t end = std::min(n_, k + std::min(n_, inputs_.options().block));
            if (grids_on_the_way() && inputs_.options().fresh_groups) end = std::min(end, (k / group + 1) * group);
            std::size_t reach = end;
            if (grids_on_the_way()) {
                const std::size_t last = (end - 1) / group * group; // the last group that begins before the end
                if (last >= k) reach = std::max(end, std::min(n_, last + group));
            }
            blocks.push_back({k, end, reach});
            k = end;
        }
        return blocks;
    }

    /// The steps of a block for up to tile_rows rows from `first` on.   later: of the same rows.
    void round_block(std::size_t first, std::size_t rows, steps b, matrix_view<const float> later, buffers& own) {
        const std::size_t cols = b.end - b.begin;
        for (std::size_t l = 0; l < rows; ++l) {
            if (grids_on_the_way()) lay_grids(first + l, b, later.row(l), own.group);
            const auto place = row(first + l).subspan(n_ - b.end, cols);
            for (std::size_t c = 0; c < cols; ++c) own.weights[c * tile_rows + l] = place[c];
        }
        for (std::size_t c = 0; c < cols; ++c) // rows that are none
            std::fill(own.weights.data() + c * tile_rows + rows, own.weights.data() + (c + 1) * tile_rows, 0.0f);

        std::array<float, tile_rows> scales, zeros, losses{};
        scales.fill(1);
        zeros.fill(0);
        std::size_t group = result.groups(); // none
        for (std::size_t c = cols; c-- > 0;) {
            if (const std::size_t g = group_of_step(b.end - 1 - c); g != group) {
                group = g;
                for (std::size_t l = 0; l < rows; ++l) {
                    scales[l] = result.scales(first + l, g);
                    zeros[l] = static_cast<float>(result.zeros(first + l, g));
                }
            }
            round_column(c, scales, zeros, losses, own);
        }
        for (std::size_t l = 0; l < rows; ++l) {
            const std::size_t r = first + l;
            const auto place = row(r).subspan(n_ - b.end, cols);
            for (std::size_t c = 0; c < cols; ++c) {
                const std::size_t k = b.end - 1 - c;
                place[c] = own.weights[c * tile_rows + l];
                result.codes(r, sorted_groups_ ? k : inputs_.order()[k]) = own.codes[c * tile_rows + l];
            }
            losses_[r] += double{losses[l]} / 2;
        }
    }

    /// The grids of the groups of row r that begin in a block, over weights as all blocks before have left them.
    void lay_grids(std::size_t r, steps b, std::span<const float> later, std::vector<float>& group) {
        const std::size_t size = result.group_columns;
        for (std::size_t k = (b.begin + size - 1) / size * size; k < b.end; k += size) {
            const std::size_t end = std::min(n_, k + size);
            if (end <= b.end) {
                set_grid(r, group_of_step(k), row(r).subspan(n_ - end, end - k));
                continue;
            }
            group.assign(later.end() - static_cast<std::ptrdiff_t>(end - b.end), later.end());
            const auto here = row(r).subspan(n_ - b.end, b.end - k);
            group.insert(group.end(), here.begin(), here.end());
            set_grid(r, group_of_step(k), group);
        }
    }

    /// Rounds the column at place c of a block, and corrects those before it.
    void round_column(std::size_t c, std::array<float, tile_rows> const& scales,
                      std::array<float, tile_rows> const& zeros, std::array<float, tile_rows>& losses, buffers& own) {
        const float largest = codes_.codes().largest;
        const bool corrects = inputs_.factor().has_value();
        const float* const u = own.factor.row(c).data();
        const float d = corrects ? u[c] : 1;
        std::array<float, tile_rows> w, level, error;
        std::copy_n(&own.weights[c * tile_rows], tile_rows, w.data());
        for (std::size_t l = 0; l < tile_rows; ++l) {
            const float q = std::nearbyint(w[l] / scales[l]) + zeros[l];
            level[l] = q > 0 ? std::min(q, largest) : 0; // a NaN becomes 0
        }
        for (std::size_t l = 0; l < tile_rows; ++l) {
            error[l] = (w[l] - scales[l] * (level[l] - zeros[l])) / d;
            losses[l] += error[l] * error[l];
        }
        for (std::size_t l = 0; l < tile_rows; ++l)
            own.codes[c * tile_rows + l] = static_cast<std::uint8_t>(static_cast<std::int32_t>(level[l]));
        if (!corrects) return;
        std::copy_n(error.data(), tile_rows, &own.weights[c * tile_rows]);
        std::array<vec, tile_rows / vec::size> less;
        for (std::size_t v = 0; v < less.size(); ++v) less[v] = -vec::load_unaligned(&error[v * vec::size]);
        float* to = own.weights.data();
        for (std::size_t i = 0; i < c; ++i, to += tile_rows) {
            const vec factor_here(u[i]);
            for (std::size_t v = 0; v < less.size(); ++v)
                simd::fma(less[v], factor_here, vec::load_unaligned(to + v * vec::size))
                    .store_unaligned(to + v * vec::size);
        }
    }

    matrix_view<const float> w_;
    gptq_inputs const& inputs_;
    uniform_rule codes_;
    std::size_t tasks_, n_, stride_;
    bool sorted_groups_ = false;   // groups are of neighbouring steps, not of neighbouring columns
    aligned_array<float> numbers_; // (rows, n)
    std::vector<double> losses_;
};

} // namespace detail

/// GPTQ of one matrix.   Shapes: w (out, in).
/// Errors: shape_error for inputs of another width or other groups, format_error as gptq.
inline gptq_result quantize_gptq(matrix_view<const float> w, gptq_inputs const& inputs, uniform_rule codes,
                                 gptq_log* log = nullptr, unsigned tasks = available_cores()) {
    detail::check_shape("gptq", "w", w, w.rows, inputs.width());
    if (const std::size_t group = codes.group_size == 0 ? w.cols : codes.group_size; group != inputs.group_columns())
        throw shape_error("gptq: codes have groups of " + std::to_string(group) + " columns, expected " +
                          std::to_string(inputs.group_columns()) + " as their inputs have");
    const stopwatch watch;
    detail::gptq_run one(w, inputs, codes, std::max(1u, tasks));
    one.run();
    if (log != nullptr) {
        *log = inputs.log();
        double squares = 0;
        for (std::size_t r = 0; r < w.rows; ++r)
            for (const float x : w.row(r)) squares += double{x} * double{x};
        if (inputs.factor()) {
            log->loss = one.loss();
            log->relative_loss = log->loss == 0 ? 0 : log->loss / squares;
        }
        log->quantize_seconds = watch.seconds();
    }
    return std::move(one.result);
}

namespace detail {

/// A result in a format of the same codes.
template <quant_format RowFormat>
void pack_result(gptq_result const& from, packed_arrays& to) {
    for_each_row({nullptr, from.codes.rows(), from.codes.cols(), 0}, [&](std::size_t r) {
        const row_storage row = to.row(r);
        std::copy_n(from.scales.row(r).data(), from.groups(), row.scales.data());
        if constexpr (RowFormat::has_zero) std::copy_n(from.zeros.row(r).data(), from.groups(), row.zeros);
        write_code_row<RowFormat::bits>(from.codes.row(r), row.codes);
    });
}

} // namespace detail

/// GPTQ (Frantar et al. 2023), step by step as GPTQModel has it: dead columns, order, damping, then the columns block
/// by block. Scales are float32. Where columns are sorted and groups are not static, the result has an order.
template <class F>
struct gptq : gptq_options {
    static_assert(is_uniform<F>, "bitlens: gptq<F> rounds to a uniform<bits, group_size> format");
    using format = F;
    using statistics = input_hessian;

    /// What matrices with the same inputs can share.   Errors: option_error for knobs that mean nothing.
    gptq_inputs prepare(input_hessian const& inputs) const { return gptq_inputs(inputs, *this, F::group_size); }

    /// Shapes: w (out, in), of a layer with these inputs; the last group of a row may be short.
    /// Errors: as prepare; shape_error for inputs of another width; format_error for a weight that is not finite, a
    /// group whose range leaves float32, or a matrix whose corrections do.
    packed_matrix<F> operator()(matrix_view<const float> w, input_hessian const& inputs,
                                gptq_log* log = nullptr) const {
        detail::check_shape("gptq", "w", w, w.rows, inputs.width());
        return (*this)(w, prepare(inputs), log);
    }
    packed_matrix<F> operator()(matrix_view<const float> w, gptq_inputs const& inputs, gptq_log* log = nullptr) const {
        packed_matrix<F> packed(w.rows, w.cols);
        gptq_result result = quantize_gptq(w, inputs, rule_of<F>, log);
        detail::pack_result<detail::row_format<F>>(result, packed.arrays());
        if (!result.order.empty()) packed.set_order(std::move(result.order));
        return packed;
    }
};

static_assert(calibrated_quantizer<gptq<uniform<3, 64>>> && !quantizer<gptq<uniform<3, 64>>>);

} // namespace bitlens
