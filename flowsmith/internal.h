// What the implementations of the public classes share. Not installed.
#pragma once

#include <limits>
#include <new>

#include "flowsmith/flow.h"
#include "models/flow.h"

namespace flowsmith {

/// A flow of its own, or one that a trainer has.
struct Flow::Impl {
  explicit Impl(core::Flow&& made) : own(std::make_unique<core::Flow>(std::move(made))), flow(*own) {}
  explicit Impl(core::Flow& of_trainer) : flow(of_trainer) {}

  std::unique_ptr<core::Flow> own;
  core::Flow& flow;
};

namespace internal {

core::Device device_of(const Context& context);
core::FlowConfig config_of(const std::string& name_or_json);

/// Runs fn(). What is no Error of ours becomes one: nothing else leaves the library.
template <class Fn>
auto guarded(Fn&& fn) {
  try {
    return fn();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Error("out of memory: give fewer examples at a time", ErrorCode::kOutOfMemory);
  } catch (const std::exception& error) {
    throw Error(std::string("fault in flowsmith: ") + error.what(), ErrorCode::kInternal);
  }
}

/// The same for work on a file: what is wrong with its content is kFile too.
template <class Fn>
auto guarded_file(Fn&& fn) {
  try {
    return guarded(fn);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidInput) throw;
    throw Error(error.what(), ErrorCode::kFile);
  }
}

/// How many examples of `size` numbers an array holds. Throws Error if they are not whole.
inline int count_of(std::size_t numbers, std::size_t size, const char* what) {
  if (numbers % size != 0 || numbers / size > std::size_t(std::numeric_limits<int>::max())) {
    throw Error(std::to_string(numbers) + " " + what + " are no whole number of examples: one has " +
                std::to_string(size));
  }
  return int(numbers / size);
}

}  // namespace internal
}  // namespace flowsmith
