#!/usr/bin/env python3
"""Do the tests notice when the science is wrong? Changes one definition at a time and runs the test that must fail.

    python3 tests/mutations/mutants.py                  # all, one after the other: about half an hour
    python3 tests/mutations/mutants.py kurtosis zero    # those with one of these words in their name
    python3 tests/mutations/mutants.py --find-only      # only whether every text to change occurs exactly once

Each mutant is compiled with one test source against a copy of include/, without optimisation. The same source must pass
without the change. Exits with 1 if a mutant survives, does not compile, or changes a text that is not there once.
"""

import argparse
import dataclasses
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Mutant:
    name: str  # what is wrong with it
    test: str  # tests/<test>_test.cpp must fail
    file: str  # include/bitlens/<file>
    edits: list  # (text that occurs once in the file, what stands there instead)


MUTANTS = [
    # What is measured.
    Mutant("first position in the means of a probe", "hooks/measure", "hooks/positions.hpp",
           [("std::size_t first = 1, end", "std::size_t first = 0, end")]),
    Mutant("first position in the means of a study", "analysis/document_measurement", "analysis/document_measurement.hpp",
           [("norm_r(layers, p), norm_z(layers, p)", "norm_r(layers, every_position), norm_z(layers, p)")]),
    Mutant("norm of an example: root mean square of the lengths, not their mean", "stats/norms", "stats/norms.hpp",
           [("sum += euclidean_norm(r.row(t));\n    return sum / static_cast<double>(r.rows);",
             "sum += euclidean_norm(r.row(t)) * euclidean_norm(r.row(t));\n"
             "    return std::sqrt(sum / static_cast<double>(r.rows));")]),
    Mutant("h without γ, while the block goes on with it", "models/parity", "layers/block.hpp",
           [("            emit<Point>(probe, at, n);",
             "            const auto bare = frame.template take<float>(positions(), shape.width);\n"
             "            rms_norm(stream.x, std::vector<float>(shape.width, 1.0f), shape.norm_eps, bare);\n"
             "            emit<Point>(probe, at, bare);")]),
    Mutant("excess kurtosis", "stats/moments", "stats/moments.hpp",
           [("mean_fourth / square_of_square;", "mean_fourth / square_of_square - 3;")]),
    Mutant("kurtosis with the sample's variance", "stats/moments", "stats/moments.hpp",
           [("const double n = static_cast<double>(x.size());\n    return detail::kurtosis_from(sums.fourth / n, sums.square / n);",
             "const double n = static_cast<double>(x.size());\n    return detail::kurtosis_from(sums.fourth / n, sums.square / (n - 1));")]),
    Mutant("kurtosis of all numbers of an example as one list", "analysis/document_measurement", "hooks/measure.hpp",
           [("= kurtosis_per_token(positions_", "= kurtosis_flat(positions_")]),
    Mutant("variance of the sample, not of the population", "stats/moments", "stats/moments.hpp",
           [(".square / static_cast<double>(x.size());", ".square / static_cast<double>(x.size() - 1);")]),
    Mutant("error: full minus quantized", "analysis/document_measurement", "analysis/document_measurement.hpp",
           [('row.number("error", nll - mean<double>(full.nll));', 'row.number("error", mean<double>(full.nll) - nll);')]),
    Mutant("a variant resumes from the full model, not from what it forks from", "sweep/run_study", "sweep/run_study.hpp",
           [("if (!variants[v].parent.empty()) open.push_back(index_of(variants, variants[v].parent));", "")]),
    Mutant("worst documents by the size of the error, whatever its sign", "analysis/error_sets",
           "analysis/error_sets.hpp", [("return error[a] > error[b];", "return error[a] * error[a] > error[b] * error[b];")]),
    Mutant("control documents from all, not from the lower half", "analysis/error_sets", "analysis/error_sets.hpp",
           [("draw_sample(std::span(ranked).subspan(upper)", "draw_sample(std::span(ranked)")]),
    Mutant("ties get the lowest of their ranks", "stats/ranks", "stats/ranks.hpp",
           [("0.5 * static_cast<double>(first + 1 + last)", "static_cast<double>(first + 1)")]),
    Mutant("bootstrap draws x and y apart", "stats/correlation", "stats/correlation.hpp",
           [("drawn_y[i] = y[pair];", "drawn_y[i] = y[static_cast<std::size_t>(random.below(y.size()))];")]),
    # What is scored.
    Mutant("each token scored on itself", "sweep/sweep", "sweep/sweep.hpp",
           [("return ids.subspan(scored.first + 1);", "return ids.subspan(scored.first, scored.count());")]),
    Mutant("a prompt is scored too", "sweep/sweep", "sweep/sweep.hpp",
           [("return x.middle_rows(scored.first, scored.count());", "return x.middle_rows(0, scored.count());")]),
    Mutant("all rows are turned as the longest is", "sweep/sweep", "sweep/sweep_task.hpp",
           [("auto const& ropes = serves(common) ? common : own_ropes;", "auto const& ropes = common;")]),
    Mutant("a patch takes the full model's numbers, whatever its source", "sweep/variant_tree", "sweep/variant_tree.hpp",
           [("keep(index_of(p.source), p.point)", "keep(0, p.point)")]),
    Mutant("a frozen scale that is the state's own", "sweep/variant_tree", "sweep/sweep.hpp",
           [("rms_norm_of_scale(x(last.stream), x(*last.scale_of),", "rms_norm_of_scale(x(last.stream), x(last.stream),")]),
    Mutant("a patch of all positions, whatever it is limited to", "sweep/variant_tree", "sweep/point_exchange.hpp",
           [("const auto to = p.positions.of(a);", "const auto to = a;"),
            ("copy_rows(p.positions.of(kept[p.kept]), to);", "copy_rows(kept[p.kept], to);")]),
    Mutant("a restored projection in the parent's weights", "sweep/variant_tree", "sweep/variant_tree.hpp",
           [("return s.test(p);", "return s.all();")]),
    Mutant("no beginning-of-text token", "sweep/select_documents", "sweep/select_documents.hpp",
           [("all.ids.insert(all.ids.begin(), *bos);", "")]),
    Mutant("KL from the quantized model, in kernel and reference alike", "kernels/vocabulary_loss",
           "kernels/vocabulary_loss.hpp",
           [("loss.dot * reference->rescale", "loss.dot * tile.rescale"),
            ("p = vec::load_unaligned(reference->exps + i)", "p = vec::load_unaligned(tile.exps + i)"),
            ("return p * (vec::load_unaligned(reference->logits + i) - vec::load_unaligned(tile.logits + i));",
             "return p * (vec::load_unaligned(tile.logits + i) - vec::load_unaligned(reference->logits + i));"),
            ("loss.dot / full.sum + (loss.log_sum() - full.log_sum())",
             "loss.dot / loss.sum - (loss.log_sum() - full.log_sum())"),
            ("std::exp(log_p) * (log_p - log_q)", "std::exp(log_q) * (log_q - log_p)")]),
    # How weights are rounded.
    Mutant("zero point off by one where it is stored (GPTQ v1)", "quantizers/rtn", "quantizers/rtn.hpp",
           [("static_cast<std::uint8_t>(grid.zero)", "static_cast<std::uint8_t>(grid.zero - 1)")]),
    Mutant("zero point off by one where it is read (GPTQ v1)", "kernels/decode", "kernels/decode.hpp",
           [("vec(byte_values[row.zeros[group]])", "vec(byte_values[row.zeros[group] + 1])")]),
    Mutant("zero point added before rounding", "quantizers/rtn", "quantizers/affine_grid.hpp",
           [("const float q = std::nearbyint(x / scale) + zero;", "const float q = std::nearbyint(x / scale + zero);")]),
    Mutant("halves of the zero point rounded away from 0", "quantizers/rtn", "quantizers/affine_grid.hpp",
           [("std::nearbyint(-range.lo / grid.scale)", "std::round(-range.lo / grid.scale)")]),
    Mutant("last column of a group read with the next group's scale", "formats/packed_matrix",
           "formats/packed_matrix.hpp", [("return place_of(c) / F::group_size;", "return (place_of(c) + 1) / F::group_size;")]),
    Mutant("a group of neighbouring columns, whatever their order", "formats/packed_matrix", "formats/packed_matrix.hpp",
           [("return place_of(c) / F::group_size;", "return c / F::group_size;")]),
    Mutant("an order read the wrong way round where rows are decoded", "kernels/decode", "kernels/decode.hpp",
           [("w.places().subspan(first, out.cols)", "w.order().subspan(first, out.cols)")]),
    Mutant("an order read the wrong way round where x is gathered", "kernels/matvec", "kernels/matvec.hpp",
           [("order = w.order();", "order = w.places();")]),
    Mutant("an order read the wrong way round where columns are laid out", "kernels/weight_panels", "kernels/decode.hpp",
           [("decoder.order = w.order();", "decoder.order = w.places();")]),
    Mutant("ties between two levels to the upper code", "quantizers/absmax", "quantizers/absmax.hpp",
           [("code += y > threshold", "code += y >= threshold")]),
    Mutant("NF4 divides by the scale", "quantizers/absmax", "quantizers/absmax.hpp",
           [("[reciprocal = 1.0f / std::max(scale, 1e-38f)](float x) { return x * reciprocal; }",
             "[divisor = std::max(scale, 1e-38f)](float x) { return x / divisor; }")]),
    Mutant("NF3 multiplies by the reciprocal of the scale", "quantizers/absmax", "quantizers/absmax.hpp",
           [("[divisor = scale > 0 ? scale : 1.0f](float x) { return x / divisor; }",
             "[reciprocal = 1.0f / (scale > 0 ? scale : 1.0f)](float x) { return x * reciprocal; }")]),
    # What GPTQ and AWQ do.
    Mutant("gptq: H is a sum over tokens, not a mean", "quantizers/gptq", "quantizers/gptq.hpp",
           [("const double scale = 2 / static_cast<double>(inputs.tokens());", "const double scale = 2;")]),
    Mutant("gptq: damp of the largest on the diagonal, not of the mean", "quantizers/gptq", "quantizers/gptq.hpp",
           [("damp * (floor == 0 ? mean :", "damp * (floor == 0 ? largest :")]),
    Mutant("gptq: a dead column's diagonal left at 0", "quantizers/gptq", "quantizers/gptq.hpp",
           [("                diagonal[c] = 1;\n", "")]),
    Mutant("gptq: a dead column keeps its weights", "quantizers/gptq", "quantizers/gptq.hpp",
           [("inputs_.is_dead(order[k]) ? 0 : from[order[k]]", "from[order[k]]")]),
    Mutant("gptq: columns by rising diagonal", "quantizers/gptq", "quantizers/gptq.hpp",
           [("return values[a] > values[b];", "return values[a] < values[b];")]),
    Mutant("gptq: group-aware by the first column of a group", "quantizers/gptq", "quantizers/gptq.hpp",
           [("largest[g] = diagonal[group.front()];", "largest[g] = diagonal[g * group_columns_];")]),
    Mutant("gptq: grids of groups always fresh", "quantizers/gptq", "quantizers/gptq.hpp",
           [("if (grids_on_the_way() && inputs_.options().fresh_groups)", "if (grids_on_the_way())")]),
    Mutant("gptq: an error that is not divided by U_ii", "quantizers/gptq", "quantizers/gptq.hpp",
           [("(w[l] - scales[l] * (level[l] - zeros[l])) / d;", "w[l] - scales[l] * (level[l] - zeros[l]);")]),
    Mutant("gptq: sums over documents in float32", "quantizers/input_hessian", "quantizers/input_hessian.hpp",
           [("to[c] += double{from[c]};", "to[c] = double{static_cast<float>(to[c]) + from[c]};")]),
    Mutant("gptq: inputs from the full linear layers of a block", "recipes/gptq_walk", "recipes/gptq_walk.hpp",
           [("            now.linear[index] = quantized.linear[index];\n", "")]),
    Mutant("gptq: the next block reads what the full block gives", "recipes/gptq_walk", "recipes/gptq_walk.hpp",
           [("    lay_out();\n    run.advance_all", "    now = full;\n    lay_out();\n    run.advance_all")]),
    Mutant("awq: a grid that includes 0", "quantizers/awq", "quantizers/affine_grid.hpp",
           [("const auto [lo, hi] = detail::range_of(group);", "const auto [lo, hi] = detail::range_with_zero(group);")]),
    Mutant("awq: scales of any size", "quantizers/awq", "quantizers/awq.hpp",
           [("    for (float& each : s) each /= middle;\n", "")]),
    Mutant("awq: clips on all tokens", "quantizers/awq", "quantizers/awq.hpp",
           [("stride_(std::max<std::size_t>(1, tokens / 512))", "stride_(1)")]),
    Mutant("awq: the last of equal clips", "quantizers/awq", "quantizers/awq.hpp", [("error < least", "error <= least")]),
    Mutant("awq: clips by tenths", "quantizers/awq", "quantizers/awq.hpp",
           [("(1 - static_cast<double>(i) / 20)", "(1 - static_cast<double>(i) / 10)")]),
    Mutant("awq: q and k clipped too", "recipes/awq_walk", "recipes/awq_walk.hpp",
           [("if (methods[m].clip && p != projection::q && p != projection::k)", "if (methods[m].clip)")]),
    # How a model runs.
    Mutant("rows of q and k of a llama GGUF left as stored", "models/checkpoint", "models/checkpoint_contents.hpp",
           [("part.interleaved_head = config.block.head_dim;", "part.interleaved_head = 0;")]),
    Mutant("rows of q and k of a llama GGUF put in order the wrong way round", "models/checkpoint",
           "models/stored_tensor.hpp",
           [("2 * (in_head % half) + in_head / half", "in_head % 2 * half + in_head / 2")]),
    Mutant("rotary pairs next to each other", "layers/rope", "layers/rope.hpp",
           [("float* const b = a + half;", "float* const b = a + 1;"),
            ("const float ai = a[i], bi = b[i];", "const float ai = a[2 * i], bi = b[2 * i];"),
            ("a[i] = ai * c[i] - bi * s[i];", "a[2 * i] = ai * c[i] - bi * s[i];"),
            ("b[i] = bi * c[i] + ai * s[i];", "b[2 * i] = bi * c[i] + ai * s[i];")]),
    Mutant("ε outside the root", "layers/elementwise", "layers/rms_norm.hpp",
           [("1.0f / std::sqrt(mean + epsilon)", "1.0f / (std::sqrt(mean) + epsilon)")]),
    Mutant("attention sees the next position", "layers/attention", "layers/attention.hpp",
           [("rule.first + t + r + 1 - begin;", "std::min(rule.first + t + r + 2, seen_by(t)) - begin;")]),
    Mutant("a window of one key more", "layers/attention", "layers/attention.hpp",
           [("return position < window ? 0 : position - window + 1;", "return position <= window ? 0 : position - window;")]),
    Mutant("a window that hides keys and reads them all the same", "layers/attention", "layers/attention.hpp",
           [("const std::size_t begin = seen_from(t) / layout.key_unit * layout.key_unit;", "const std::size_t begin = 0;"),
            ("std::size_t panel = seen_from(first) / panel_rows;", "std::size_t panel = 0;"),
            (" || s + panel_rows <= seen_from(t)) continue;", ") continue;")]),
    Mutant("scores capped before their scale", "layers/attention", "layers/attention.hpp",
           [("subspan(from), rule.scale, rule.soft_cap);", "subspan(from), 1, rule.soft_cap);"),
            ("has_cap ? 1.0f : rule.scale", "rule.scale")]),
    Mutant("the first query at the first key, wherever it stands", "layers/attention", "layers/attention.hpp",
           [("return rule.seen_from(rule.first + t);", "return rule.seen_from(t);")]),
    Mutant("values summed in blocks that depend on the room of a cache", "layers/key_value_cache", "layers/attention_panels.hpp",
           [("std::size_t value_depth = kernel.max_depth;",
             "std::size_t value_depth = std::clamp<std::size_t>(capacity / 64 * 32, 32, kernel.max_depth);")]),
    Mutant("keys of a panel's first positions are gone when the next come", "layers/key_value_cache", "layers/attention_panels.hpp",
           [("if (row == 0) std::fill_n(strip", "if (s == 0) std::fill_n(strip")]),
    Mutant("positions of a text that goes on begin anew", "models/generate", "layers/block.hpp",
           [("const std::size_t first = cache.positions();", "const std::size_t first = 0;")]),
    Mutant("the mean of yarn ends with the last pair", "layers/rope", "layers/rope.hpp",
           [("static_cast<double>(rotated - 1)", "static_cast<double>(pairs() - 1)")]),
    Mutant("A on one of the two that turn", "layers/rope", "layers/rope.hpp",
           [("sin_(t, i) = static_cast<float>(a * std::sin(angle));", "sin_(t, i) = static_cast<float>(std::sin(angle));")]),
    Mutant("long factors from the original context on", "layers/rope", "layers/rope.hpp",
           [("positions <= s.original_context ?", "positions < s.original_context ?")]),
    Mutant("frequencies of the whole head where a part of it turns", "layers/rope", "layers/rope.hpp",
           [("static_cast<float>(2 * i) / static_cast<float>(stretch.rotated)",
             "static_cast<float>(2 * i) / static_cast<float>(head_dim)")]),
    Mutant("GELU by the logistic function of 1.702·x", "layers/elementwise", "layers/gated_mlp.hpp",
           [("simd::exp(x * simd::fma(cubic, x * x, linear))", "simd::exp(x * vec(-1.702f))")]),
    Mutant("one norm for all heads", "layers/elementwise", "layers/rms_norm.hpp",
           [("rms_norm<Arch>(x.middle_cols(i, head_dim), gamma",
             "rms_norm_of_scale<Arch>(x.middle_cols(i, head_dim), x.middle_cols(0, head_dim), gamma")]),
    Mutant("logits scored before they are capped", "kernels/vocabulary_loss", "kernels/vocabulary_loss.hpp",
           [("if (soft_cap != no_soft_cap) detail::cap_row<Arch>(logits.row(t).first(count), 1, soft_cap);", "")]),
    Mutant("heads share keys in turn, not in neighbouring groups", "layers/attention", "layers/attention.hpp",
           [("kv_head = head / (heads / kv_heads);", "kv_head = head % kv_heads;")]),
]


def mutated(mutant):
    """The text of the changed header.   Errors: ValueError for a text that does not occur once."""
    text = (ROOT / "include/bitlens" / mutant.file).read_text()
    for old, new in mutant.edits:
        if text.count(old) != 1:
            raise ValueError(f"{mutant.file} has {text.count(old)} times, not once: {old!r}")
        text = text.replace(old, new)
    return text


class Workshop:
    """A copy of the headers, and programs made with it."""

    def __init__(self, folder, compiler):
        self.folder, self.compiler = folder, compiler
        shutil.copytree(ROOT / "include", folder / "include")
        self.main = self.compile(ROOT / "tests/main.cpp", "main.o")
        if self.main is None:
            sys.exit("tests/main.cpp does not compile")

    def compile(self, source, name):
        out = self.folder / name
        data = f'-DBITLENS_TEST_DATA="{ROOT}/tests/data"', f'-DBITLENS_SHARED_DATA="{ROOT}/../shared/data"'
        done = subprocess.run([*self.compiler, "-std=c++20", "-O0", "-w", "-I", self.folder / "include", "-I",
                               ROOT / "tests", *data, "-c", source, "-o", out])
        return out if done.returncode == 0 else None

    def outcome(self, test):
        """"passes", "fails" or "does not compile"."""
        compiled = self.compile(ROOT / f"tests/{test}_test.cpp", "test.o")
        if compiled is None:
            return "does not compile"
        program = self.folder / "test"
        subprocess.run([*self.compiler, self.main, compiled, "-o", program, "-ltbb", "-lutf8proc", "-lz"], check=True)
        limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (300, 300))  # of cores, which others may use too
        try:
            done = subprocess.run([program, "--abort-after=1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  timeout=3600, preexec_fn=limit)
        except subprocess.TimeoutExpired:
            return "does not end"
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return "does not end"
        return "passes" if done.returncode == 0 else "fails"

    def outcome_of(self, mutant):
        header = self.folder / "include/bitlens" / mutant.file
        original = header.read_text()
        header.write_text(mutated(mutant))
        try:
            return self.outcome(mutant.test)
        finally:
            header.write_text(original)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their name")
    parser.add_argument("--find-only", action="store_true")
    parser.add_argument("--compiler", default="g++ -march=x86-64-v3", help="with the flags that come first")
    arguments = parser.parse_args()

    lost = []
    for mutant in MUTANTS:
        try:
            mutated(mutant)
        except ValueError as e:
            lost.append(f"{mutant.name}: {e}")
    if lost or arguments.find_only:
        print("\n".join(lost) or f"{len(MUTANTS)} mutants, all texts found")
        return int(bool(lost))

    chosen = [m for m in MUTANTS if not arguments.words or any(w in m.name for w in arguments.words)]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(pathlib.Path(folder), arguments.compiler.split())
        for test in dict.fromkeys(m.test for m in chosen):
            unchanged = workshop.outcome(test)
            print(f"{test}, unchanged: {unchanged}", flush=True)
            bad += unchanged != "passes"
            for mutant in (m for m in chosen if m.test == test):
                outcome = workshop.outcome_of(mutant)
                verdict = {"fails": "noticed", "passes": "SURVIVES"}.get(outcome, outcome.upper())
                print(f"  {verdict:9} {mutant.name} ({mutant.file})", flush=True)
                bad += outcome != "fails"
    print(f"{len(chosen)} mutants, {bad} problems")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
