#include "models/bijector.h"

namespace flowsmith {

ParameterVars::ParameterVars(Tape& tape, const Parameters& parameters) {
  for (int i = 0; i < parameters.count(); ++i) {
    const Var v = tape.leaf(parameters.value(i), parameters.grad(i));
    if (i == 0) first_ = v.id;
  }
}

}  // namespace flowsmith
