// Every form of the affine coupling, for tests.
#pragma once

#include <vector>

#include "kernels/affine_coupling.h"

namespace flowsmith::core::testing {

inline constexpr AffineForm kForms[] = {{ScaleBound::kNone, true},
                                        {ScaleBound::kNone, false},
                                        {ScaleBound::kTanh, true},
                                        {ScaleBound::kTanh, false},
                                        {ScaleBound::kLearnedTanh, true},
                                        {ScaleBound::kLearnedTanh, false},
                                        {ScaleBound::kSigmoid, true, -1.25f},
                                        {ScaleBound::kSigmoid, false, 0.75f}};

/// What a form takes as its scaling_factor.
template <class S>
const S* scaling_or_null(AffineForm form, const std::vector<S>& scaling_factor) {
  return form.bound == ScaleBound::kLearnedTanh ? scaling_factor.data() : nullptr;
}

}  // namespace flowsmith::core::testing
