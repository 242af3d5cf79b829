#include "kernels/mask.h"

#include "autograd/coupling.h"

namespace flowsmith::core {
namespace {

struct ConditionerInputNode {
  Var input, z;
  int c_image;
  Mask mask;

  void backward(Tape& tape) const {
    const Tensor path = tape.value(z);
    const Tensor dinput = tape.finished_grad(input);
    dispatch_mixed(tape.device(), path.dtype(), dinput.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
      conditioner_input_backward(tape.grad<decltype(zero_z)>(z), dinput.data<decltype(zero_s)>(), c_image, path.map(),
                                 mask, stream);
    });
  }
};

}  // namespace

Var conditioner_input(Tape& tape, Var z, Tensor image, Mask mask, DType network_type, int levels) {
  const Tensor path = tape.value(z);
  const MapShape map = path.map();
  require_mask(mask);
  require(is_grey_level_count(levels), "grey levels are a power of two from 2 to 256");
  const int c_image = image ? image.map().c : 0;
  if (image) require_tensor(image, DType::kU8, MapShape{map.n, map.h, map.w, c_image}, "the conditioning image");
  const Var input = tape.output(network_type, MapShape{map.n, map.h, map.w, map.c + c_image}, tape.needs_grad(z));
  dispatch_mixed(tape.device(), path.dtype(), network_type, [&](auto stream, auto zero_z, auto zero_s) {
    conditioner_input_forward(tape.value(input).data<decltype(zero_s)>(), path.data<decltype(zero_z)>(),
                              image ? image.data<std::uint8_t>() : nullptr, c_image, levels, map, mask, stream);
  });
  if (tape.needs_grad(input)) tape.record(ConditionerInputNode{input, z, c_image, mask});
  return input;
}

}  // namespace flowsmith::core
