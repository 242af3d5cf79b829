// flowsmith explore: a page in the browser where one plays with a flow. The page is in tools/explore/, what it asks is
// answered by tools/pictures/explorer.h, and this is the HTTP between them.
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>

#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/explore/page_files.h"
#include "tools/pictures/explorer.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

using nlohmann::json;

// What a browser sends is far below these; who sends more is answered without being read.
constexpr std::size_t kLargestBody = std::size_t{4} << 20, kLargestHeaders = 16384;
constexpr int kSecondsOfSilence = 10;
constexpr std::string_view kAsk = "ask/";

/// Opens the door for those who know it: 128 bits, in the address.
std::string random_token() {
  std::random_device random;  // the system's
  std::string token;
  for (int i = 0; i < 4; ++i) {
    char text[16];
    std::snprintf(text, sizeof text, "%08x", unsigned(random()));
    token += text;
  }
  return token;
}

/// The server of one page, for browsers on this machine alone.
class PageServer {
 public:
  /// Listens at 127.0.0.1 only; port 0 is any that is free. Throws Error if the port is taken or not allowed.
  PageServer(Explorer& explorer, int port) : explorer_(explorer), token_(random_token()) {
    base_.reset(event_base_new());
    http_.reset(base_ ? evhttp_new(base_.get()) : nullptr);
    if (!http_) throw Error("cannot begin to serve: the system gives no events");
    evhttp_set_allowed_methods(http_.get(), EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_max_body_size(http_.get(), ev_ssize_t(kLargestBody));
    evhttp_set_max_headers_size(http_.get(), ev_ssize_t(kLargestHeaders));
    evhttp_set_timeout(http_.get(), kSecondsOfSilence);
    evhttp_set_gencb(
        http_.get(), [](evhttp_request* request, void* self) { static_cast<PageServer*>(self)->serve(request); }, this);
    evhttp_bound_socket* const bound = evhttp_bind_socket_with_handle(http_.get(), "127.0.0.1", ev_uint16_t(port));
    if (bound == nullptr) {
      throw Error("port " + std::to_string(port) + " cannot be had: " + std::strerror(errno) +
                  "; choose another one, or 0 for any that is free");
    }
    sockaddr_in address{};
    socklen_t size = sizeof address;
    getsockname(evhttp_bound_socket_get_fd(bound), reinterpret_cast<sockaddr*>(&address), &size);
    host_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    local_host_ = "localhost:" + std::to_string(ntohs(address.sin_port));
  }

  std::string address() const { return "http://" + host_ + "/" + token_ + "/"; }

  /// Serves until Ctrl-C or TERM.
  void run() {
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
      event* const stop = evsignal_new(
          base_.get(), number,
          [](evutil_socket_t, short, void* base) { event_base_loopbreak(static_cast<event_base*>(base)); },
          base_.get());
      event_add(stop, nullptr);
      signals_.emplace_back(stop);
    }
    event_base_dispatch(base_.get());
  }

 private:
  template <auto kFree>
  struct Freed {
    template <class T>
    void operator()(T* what) const {
      kFree(what);
    }
  };

  static const char* header(evhttp_request* request, const char* name) {
    return evhttp_find_header(evhttp_request_get_input_headers(request), name);
  }

  /// Whether the request comes from the page itself: another site's page may reach this port, but neither names this
  /// host (DNS rebinding) nor is this origin.
  bool is_own(evhttp_request* request) const {
    const char* const host = header(request, "Host");
    if (host == nullptr || (host != host_ && host != local_host_)) return false;
    const char* const origin = header(request, "Origin");
    return origin == nullptr || std::string("http://") + host == origin;
  }

  static void reply(evhttp_request* request, int code, const char* type, std::string_view text) {
    evkeyvalq* const headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(headers, "Content-Security-Policy",
                      "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
                      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    evbuffer* const body = evbuffer_new();
    evbuffer_add(body, text.data(), text.size());
    evhttp_send_reply(request, code, nullptr, body);
    evbuffer_free(body);
  }

  static void refuse(evhttp_request* request, int code, const std::string& why) {
    reply(request, code, "application/json", json{{"error", why}}.dump(-1, ' ', false, json::error_handler_t::replace));
  }

  void serve(evhttp_request* request) {
    try {
      if (!is_own(request)) return refuse(request, 403, "this page is for a browser on its own machine");
      const std::string path = evhttp_request_get_uri(request);
      const std::string door = "/" + token_ + "/";
      if (!path.starts_with(door))
        return refuse(request, 404, "no such page: use the address that flowsmith explore printed");
      const std::string name = path.substr(door.size());
      if (evhttp_request_get_command(request) == EVHTTP_REQ_POST) return answer(request, name);
      for (const PageFile& file : page_files()) {
        if (file.name != (name.empty() ? "index.html" : name)) continue;
        const char* const type = file.name.ends_with(".css")  ? "text/css; charset=utf-8"
                                 : file.name.ends_with(".js") ? "text/javascript; charset=utf-8"
                                                              : "text/html; charset=utf-8";
        return reply(request, 200, type, file.text);
      }
      refuse(request, 404, "no such page");
    } catch (const std::exception& error) {  // nothing may leave through the C library that calls this
      refuse(request, 500, error.what());
    }
  }

  void answer(evhttp_request* request, const std::string& name) {
    if (!name.starts_with(kAsk)) return refuse(request, 404, "no such question");
    evbuffer* const input = evhttp_request_get_input_buffer(request);
    std::string body(evbuffer_get_length(input), '\0');
    evbuffer_remove(input, body.data(), body.size());
    try {
      const json asked = json::parse(body, nullptr, false);
      if (asked.is_discarded()) return refuse(request, 400, "the question is no JSON");
      reply(request, 200, "application/json", explorer_.answer(name.substr(kAsk.size()), asked).dump());
    } catch (const BadQuestion& error) {
      refuse(request, 400, error.what());
    } catch (const NotFinite& error) {
      refuse(request, 422, error.what());
    }
  }

  Explorer& explorer_;
  std::string token_, host_, local_host_;
  std::unique_ptr<event_base, Freed<event_base_free>> base_;
  std::unique_ptr<evhttp, Freed<evhttp_free>> http_;
  std::vector<std::unique_ptr<event, Freed<event_free>>> signals_;
};

/// Starts the browser that the desktop is set to, and leaves it alone.
void open_browser(const std::string& address) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::fork() == 0) {
      const int nothing = ::open("/dev/null", O_RDWR);
      for (const int descriptor : {0, 1, 2}) ::dup2(nothing, descriptor);
      ::execlp("xdg-open", "xdg-open", address.c_str(), static_cast<char*>(nullptr));
    }
    ::_exit(0);
  }
  if (child > 0) ::waitpid(child, nullptr, 0);
}

bool on_path(const std::string& program) {
  const char* const path = std::getenv("PATH");
  std::string_view folders = path == nullptr ? "" : path;
  while (!folders.empty()) {
    const std::size_t end = std::min(folders.find(':'), folders.size());
    if (::access((std::string(folders.substr(0, end)) + "/" + program).c_str(), X_OK) == 0) return true;
    folders.remove_prefix(std::min(end + 1, folders.size()));
  }
  return false;
}

int explore(const cxxopts::ParseResult& options) {
  constexpr int kExamples = 64, kPoints = 2000;
  const std::string images = images_from(options, {"split", "data"});
  const int port = options["port"].as<int>();
  if (port < 0 || port > 65535) throw Error("--port must be 0 to 65535");
  const bool open = options["open"].as<bool>();
  if (open && !on_path("xdg-open")) {
    throw Error(
        "--open: there is no xdg-open here to start a browser: leave it out, and open the address that is printed");
  }
  const std::string weights = weights_from(options);
  Flow flow = load_flow(weights, device_from(options));
  if (!flow.takes_images() && !is_plane(flow)) {
    throw Error(weights + ": the page is for flows of images and of the plane, and this is of neither");
  }
  const int most = flow.takes_images() ? kExamples : kPoints;
  ExamplePiece examples =
      examples_from(options, images, weights, flow, [&](ExampleSet& set) { set.restrict_to(0, most); });
  Explorer explorer(std::move(flow), std::move(examples));
  std::signal(SIGPIPE, SIG_IGN);
  PageServer server(explorer, port);
  std::printf("open %s in a browser on this machine; Ctrl-C ends it\n", server.address().c_str());
  std::fflush(stdout);
  if (open) open_browser(server.address());
  server.run();
  std::printf("ended\n");
  return 0;
}

}  // namespace

int explore_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith explore",
      "A page where one plays with a flow: draw and see the score, its gradient and what the latents decode to; sample "
      "at "
      "a temperature for each scale; go from one image to another; change a channel of a latent; move a point through "
      "a "
      "flow of the plane. It is served to browsers on this machine alone, at an address that nobody can guess.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("port", "Where to listen; 0: any that is free", cxxopts::value<int>()->default_value("0"))
      ("open", "Start the desktop's browser with it (default: off)", cxxopts::value<bool>()->default_value("false"))
      ("seed", "Given, of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"));
  // clang-format on
  add_example_options(options);
  add_device_options(options);
  return run_tool("flowsmith explore", options, argc, argv, explore);
}

}  // namespace flowsmith::core
