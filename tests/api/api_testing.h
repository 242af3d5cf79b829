// Flows for the tests of the public API.
#pragma once

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "flowsmith/trainer.h"
#include "tests/api/small_flows.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::api_testing {

/// Weights in which every layer acts, whatever a new flow begins with.
inline void disturb(Flow& flow, unsigned seed = 3) {
  std::mt19937 random(seed);
  std::vector<StateArray> state = flow.state();
  for (StateArray& array : state) {
    for (double& value : array.values) value = float(value + 0.1 * (double(random()) / 4294967296.0 - 0.5));
  }
  flow.set_state(state);
}

inline Flow image_flow(const Context& context = {}) {
  Flow flow = Flow::from_config(image_config(), 5, context);
  disturb(flow);
  return flow;
}

inline Flow row_flow(int dims = 2, const Context& context = {}) {
  Flow flow = Flow::from_config(row_config(dims), 5, context);
  disturb(flow);
  return flow;
}

/// The code of the Error that fn throws; REQUIREs one.
template <class Fn>
ErrorCode code_of(Fn&& fn) {
  try {
    fn();
  } catch (const Error& error) {
    INFO(error.what());
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return error.code();
  }
  FAIL("nothing was thrown");
  throw;
}

}  // namespace flowsmith::api_testing
