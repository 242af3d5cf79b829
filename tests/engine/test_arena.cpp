#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>

#include "engine/arena.h"
#include "tests/support/scarce_gpu.h"

using namespace flowsmith::core;

TEST_CASE("an arena aligns to 64 bytes and never hands out the same byte twice") {
  Arena arena;
  std::byte* last_end = nullptr;
  for (const std::size_t bytes : {1, 3, 64, 65, 1000}) {
    auto* const p = static_cast<std::byte*>(arena.allocate(bytes));
    CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
    if (last_end != nullptr) CHECK(p >= last_end);
    std::memset(p, 0xff, bytes);
    last_end = p + bytes;
  }
  CHECK(arena.allocate(0) != arena.allocate(0));
}

TEST_CASE("from its second round on an arena gives the same addresses and asks for no more memory") {
  Arena arena;
  const auto round = [&] {
    std::vector<void*> addresses;
    for (int i = 0; i < 5; ++i) addresses.push_back(arena.allocate(5u << 20));  // more than the first block
    return addresses;
  };
  round();
  arena.reset();
  const std::vector<void*> second = round();
  const std::size_t capacity = arena.capacity();
  arena.reset();
  CHECK(round() == second);
  CHECK(arena.capacity() == capacity);
}

TEST_CASE("an arena goes back to a mark, across blocks too") {
  Arena arena;
  const Arena::Mark mark = arena.mark();
  void* const first = arena.allocate(100);
  arena.allocate(64u << 20);
  arena.release(mark);
  CHECK(arena.allocate(100) == first);
}

TEST_CASE("an arena uses memory to its end") {
  constexpr std::size_t kMiB = 1u << 20;
  Arena arena(Device::kEmulated);
  const ScarceGpu gpu(20 * kMiB);
  for (int i = 0; i < 20; ++i) CHECK_NOTHROW(arena.allocate(kMiB));  // two blocks of 8 MiB, and no third
  CHECK(arena.peak() == 20 * kMiB);
  CHECK_THROWS_WITH(arena.allocate(kMiB), Catch::Contains("1 MiB more were asked for, 0 MiB are free"));
  arena.reset();
  CHECK(arena.capacity() == 20 * kMiB);
  CHECK_NOTHROW(arena.allocate(20 * kMiB));
}

TEST_CASE("an arena says how much memory it could not get") {
  Arena arena;
  CHECK_THROWS_WITH(arena.allocate(std::size_t{1} << 50), Catch::Contains("1073741824 MiB"));
  CHECK(arena.allocate(16) != nullptr);
}
