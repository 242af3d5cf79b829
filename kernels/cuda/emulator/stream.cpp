#include "kernels/cuda/emulator/stream.h"

#include <cstring>
#include <set>
#include <utility>

#include "kernels/cuda/emulator/api_error.h"

namespace flowsmith::emulator {

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

void Stream::put(const Work& work) {
  if (capturing) {
    captured.push_back(work);
  } else {
    work(*this);
  }
}

void Stream::deliver(std::size_t until) {
  std::size_t count = 0;
  for (; count < downloads.size() && delivered < until; ++count, ++delivered) {
    std::memcpy(downloads[count].to, downloads[count].bytes.data(), downloads[count].bytes.size());
  }
  downloads.erase(downloads.begin(), downloads.begin() + std::ptrdiff_t(count));
}

void Stream::deliver_into(const void* memory, std::size_t bytes) {
  const auto* start = static_cast<const char*>(memory);
  std::size_t count = 0;
  for (std::size_t i = 0; i < downloads.size(); ++i) {
    const auto* to = static_cast<const char*>(downloads[i].to);
    if (to < start + bytes && start < to + downloads[i].bytes.size()) count = i + 1;
  }
  deliver(delivered + count);
}

}  // namespace flowsmith::emulator

namespace flowsmith::cuda_names {

using namespace emulator;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  default_stream();
  *stream = new Stream;
  streams().insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr) return note(cudaErrorInvalidResourceHandle);
  stream->deliver_all();
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
  stream.deliver_all();
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  if (spoil_captures()) return note(cudaErrorStreamCaptureUnsupported);
  for (Stream* stream : streams()) stream->deliver_all();
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned) {
  return event == nullptr ? note(cudaErrorInvalidResourceHandle) : cudaSuccess;  // its work has run already
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
  *event = {&stream, stream.delivered + stream.downloads.size(), stream.capturing, std::chrono::steady_clock::now()};
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->captured) return note(cudaErrorCapturedEvent);
  if (event->stream != nullptr && streams().count(event->stream) > 0) event->stream->deliver(event->downloads);
  return cudaSuccess;
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

}  // namespace flowsmith::cuda_names
