// The one function of optimizer.h that has no backend.
#include "kernels/optimizer.h"

#include "kernels/optimizer_math.h"

namespace flowsmith {

double clip_factor(double norm, double max_norm) { return clip_scale(norm, max_norm); }

}  // namespace flowsmith
