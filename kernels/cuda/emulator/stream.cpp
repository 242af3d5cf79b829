#include "kernels/cuda/emulator/stream.h"

#include <cstring>
#include <set>
#include <utility>

#include "kernels/cuda/emulator/api_error.h"
#include "kernels/cuda/emulator/error.h"

namespace flowsmith::core::emulator {

namespace {

/// All streams that exist, the default one too.
std::set<Stream*>& streams() {
  static std::set<Stream*>& all = *new std::set<Stream*>{new Stream};
  return all;
}

Stream& default_stream() {
  static Stream& stream = **streams().begin();
  return stream;
}

}  // namespace

Stream& stream_of(cudaStream_t stream) { return stream == nullptr ? default_stream() : *stream; }

bool spoil_captures() {
  bool any = false;
  for (Stream* stream : streams()) {
    if (!stream->capturing) continue;
    stream->capture_failed = true;
    any = true;
  }
  return any;
}

void end_transfers_everywhere() {
  for (Stream* stream : streams()) stream->end_all_transfers();
}

void Stream::put(const Work& work) {
  if (capturing) {
    captured.push_back(work);
  } else {
    work(*this);
  }
}

void Stream::end_transfers(std::size_t until) {
  std::size_t count = 0;
  for (; count < transfers.size() && ended < until; ++count, ++ended) {
    const Transfer& transfer = transfers[count];
    if (transfer.to_device) {
      source_changed |= std::memcmp(transfer.pinned, transfer.bytes.data(), transfer.bytes.size()) != 0;
    } else {
      std::memcpy(transfer.pinned, transfer.bytes.data(), transfer.bytes.size());
    }
  }
  transfers.erase(transfers.begin(), transfers.begin() + std::ptrdiff_t(count));
}

void Stream::end_transfers_at(const void* pinned, std::size_t bytes) {
  const auto* start = static_cast<const char*>(pinned);
  std::size_t count = 0;
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    const auto* other = static_cast<const char*>(transfers[i].pinned);
    if (other < start + bytes && start < other + transfers[i].bytes.size()) count = i + 1;
  }
  end_transfers(ended + count);
}

void Stream::complain() {
  if (!std::exchange(source_changed, false)) return;
  throw_error("the host changed pinned memory while a copy from it to the GPU could be under way: wait for it first");
}

}  // namespace flowsmith::core::emulator

namespace flowsmith::core::cuda_names {

using namespace emulator;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = nullptr;
  if (flags != cudaStreamNonBlocking) return note(cudaErrorInvalidValue);
  default_stream();
  *stream = new Stream;
  streams().insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  stream->end_all_transfers();
  streams().erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  Stream& stream = stream_of(handle);
  if (stream.capturing) {
    stream.capture_failed = true;
    return note(cudaErrorStreamCaptureUnsupported);
  }
  stream.end_all_transfers();
  host_knows(stream.known);
  stream.complain();
  return device_state();
}

cudaError_t cudaDeviceSynchronize() {
  if (spoil_captures()) return note(cudaErrorStreamCaptureUnsupported);
  end_transfers_everywhere();
  host_knows_all();
  for (Stream* stream : streams()) stream->complain();
  return device_state();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  if (event == nullptr) return note(cudaErrorInvalidResourceHandle);
  Stream& stream = stream_of(handle);
  if (event->stream == nullptr) return cudaSuccess;
  if (event->captured != stream.capturing || (event->captured && event->stream != &stream)) {
    stream.capture_failed = true;
    return note(stream.capturing ? cudaErrorStreamCaptureIsolation : cudaErrorCapturedEvent);
  }
  if (!stream.capturing) merge(stream.known, event->known);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new Event;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  Stream& stream = stream_of(handle);
  *event = {&stream, stream.ended + stream.transfers.size(), stream.capturing, stream.known,
            std::chrono::steady_clock::now()};
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->captured) return note(cudaErrorCapturedEvent);
  host_knows(event->known);
  if (event->stream != nullptr && streams().count(event->stream) > 0) {
    event->stream->end_transfers(event->transfers);
    event->stream->complain();
  }
  return device_state();
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (from->stream == nullptr || to->stream == nullptr || from->captured || to->captured) {
    return note(cudaErrorInvalidResourceHandle);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  if (handle == nullptr || handle->capturing) return note(cudaErrorStreamCaptureUnsupported);
  handle->capturing = true;
  handle->capture_failed = false;
  handle->captured.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  *graph = nullptr;
  if (handle == nullptr || !handle->capturing) return note(cudaErrorInvalidValue);
  handle->capturing = false;
  if (handle->capture_failed) return note(cudaErrorStreamCaptureInvalidated);
  *graph = new Graph{std::move(handle->captured)};
  handle->captured.clear();
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new ExecutableGraph{graph->nodes};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  if (executable == nullptr) return note(cudaErrorInvalidValue);
  for (const Work& node : executable->nodes) stream_of(handle).put(node);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

}  // namespace flowsmith::core::cuda_names
