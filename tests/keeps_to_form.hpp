#pragma once
/// keeps_to_form: what a stored linear layer said before its numbers were read, beside what they turned out to be.

#include "bitlens/formats/coded_matrix.hpp"

namespace bitlens::test {

/// Whether one row stands for all of m: a part of the rule that is said may be left out, none that is not said may
/// come.
inline bool keeps_to_form(coded_matrix const& form, coded_matrix const& m) {
    const auto may_be_left_out = [](bool is_said, bool is_there) { return is_said || !is_there; };
    return form.rows() == 1 && form.cols() == m.cols() && form.bits == m.bits &&
           form.group_columns == m.group_columns && form.levels == m.levels &&
           may_be_left_out(form.zeros.rows() != 0, m.zeros.rows() != 0) &&
           (form.offsets.rows() != 0) == (m.offsets.rows() != 0) &&
           may_be_left_out(!form.order.empty(), !m.order.empty());
}

} // namespace bitlens::test
