// flowsmith explore: a page for this machine's browsers alone, and a server that malformed requests do not end.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <random>

#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

/// A connection to a port of this machine.
class Connection {
 public:
  explicit Connection(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(std::uint16_t(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const timeval patience{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    REQUIRE(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~Connection() { ::close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void send(const std::string& text) const { (void)::send(socket_, text.data(), text.size(), MSG_NOSIGNAL); }

  /// All that comes until the other side closes.
  std::string rest() const {
    std::string text;
    char buffer[4096];
    for (ssize_t n = ::recv(socket_, buffer, sizeof buffer, 0); n > 0; n = ::recv(socket_, buffer, sizeof buffer, 0)) {
      text.append(buffer, std::size_t(n));
    }
    return text;
  }

 private:
  int socket_;
};

/// A server while it runs.
struct Explored {
  explicit Explored(const Workplace& place, const Arguments& more = {})
      : program(Workplace::command("explore", Arguments{"--weights", "w.safetensors", "--data", "tiny"} + more),
                place.dir().path()) {
    REQUIRE(program.wait_until([&] { return program.said().find("Ctrl-C ends it\n") != std::string::npos; }));
    const std::string said = program.said();
    const std::string start = "http://127.0.0.1:";
    const std::size_t begin = said.find(start) + start.size();
    port = std::stoi(said.substr(begin));
    const std::size_t slash = said.find('/', begin);
    door = said.substr(slash, said.find(' ', slash) - slash);
    host = "127.0.0.1:" + std::to_string(port);
  }

  std::string get(const std::string& path, const std::string& headers) const {
    const Connection connection(port);
    connection.send("GET " + path + " HTTP/1.1\r\n" + headers + "Connection: close\r\n\r\n");
    return connection.rest();
  }
  std::string get(const std::string& path) const { return get(path, "Host: " + host + "\r\n"); }
  std::string ask(const std::string& question, const std::string& body) const {
    const Connection connection(port);
    connection.send("POST " + door + "ask/" + question + " HTTP/1.1\r\nHost: " + host +
                    "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body);
    return connection.rest();
  }

  Program program;
  int port = 0;
  std::string door, host;
};

struct ExplorePlace : Workplace {
  ExplorePlace() {
    write_tiny_dataset(dir(), "tiny", {60, 12, 8, 4});
    write_weights("w.safetensors", "multiscale");
  }
};

TEST_CASE("explore serves its page and answers, to this machine's own pages alone", "[cli]") {
  const ExplorePlace place;
  Explored server(place);
  CHECK(server.door.size() == 34);  // 128 bits in hexadecimal between two slashes
  CHECK_THAT(server.get(server.door), Contains("200 OK") && Contains("A flow to play with") &&
                                          Contains("Content-Security-Policy: default-src 'none'"));
  CHECK_THAT(server.get(server.door + "page.js"), Contains("200 OK") && Contains("text/javascript"));
  CHECK_THAT(server.get(server.door + "page.css"), Contains("200 OK") && Contains("text/css"));
  CHECK_THAT(server.ask("info", "{}"), Contains("200 OK") && Contains("\"kind\":\"images\""));
  CHECK_THAT(server.ask("info", "{"), Contains(" 400 ") && Contains("no JSON"));
  CHECK_THAT(server.ask("example", "{\"number\": 99}"), Contains(" 400 ") && Contains("0 to 11"));

  const std::string own = "Host: " + server.host + "\r\n";
  CHECK_THAT(server.get("/"), Contains(" 404 ") && !Contains(server.door));
  CHECK_THAT(server.get(server.door + "../../etc/passwd"), Contains(" 404 "));
  CHECK_THAT(server.get(server.door, ""), !Contains("A flow to play with"));
  CHECK_THAT(server.get(server.door, "Host: evil.example\r\n"), Contains(" 403 "));
  CHECK_THAT(server.get(server.door, own + "Origin: http://evil.example\r\n"), Contains(" 403 "));
  CHECK_THAT(server.get(server.door, own + "Origin: null\r\n"), Contains(" 403 "));
  CHECK_THAT(server.get(server.door, own + "Origin: http://" + server.host + "\r\n"), Contains("200 OK"));
  CHECK_THAT(server.get(server.door, "Host: localhost:" + std::to_string(server.port) + "\r\n"), Contains("200 OK"));
  {
    const Connection connection(server.port);
    connection.send("POST " + server.door + "ask/info HTTP/1.1\r\n" + own + "Content-Length: 99999999\r\n\r\n");
    CHECK_THAT(connection.rest(), Contains(" 413 "));
  }
  server.program.send(SIGINT);
  const Outcome outcome = server.program.wait();
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, Contains("\nended\n"));
}

TEST_CASE("explore says the score that flowsmith score writes", "[cli]") {
  const ExplorePlace place;
  Explored server(place);
  const std::string answer = server.ask("example", "{\"number\": 0}");
  const nlohmann::json example = nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
  const std::string scored = server.ask("score", nlohmann::json{{"pixels", example["pixels"]}, {"samples", 8}}.dump());
  const double bits = nlohmann::json::parse(scored.substr(scored.find("\r\n\r\n") + 4))["bits_per_dim"];
  const std::string table = place.output_of("score", {"--weights", "w.safetensors", "--data", "tiny", "--limit", "1"});
  CHECK(bits == std::stod(table.substr(table.rfind(',') + 1)));
}

TEST_CASE("explore still serves after ten thousand malformed requests", "[cli]") {
  const ExplorePlace place;
  Explored server(place);
  std::mt19937 random(1);
  const std::string sound = "POST " + server.door + "ask/score HTTP/1.1\r\nHost: " + server.host +
                            "\r\nContent-Length: 30\r\n\r\n{\"pixels\": [1, 2, 3], \"x\": 0}";
  constexpr int kRequests = 10'000;
  for (int k = 0; k < kRequests; ++k) {
    std::string request = sound;
    switch (k % 5) {
      case 0:  // bytes exchanged
        for (int i = 0; i < 1 + k % 7; ++i) request[random() % request.size()] = char(random() % 256);
        break;
      case 1:  // cut off
        request.resize(random() % request.size());
        break;
      case 2:  // bytes put in
        request.insert(random() % request.size(), std::string(1 + random() % 40, char(random() % 256)));
        break;
      case 3:  // noise
        request.clear();
        for (unsigned i = 0; i < 1 + random() % 300; ++i) request += char(random() % 256);
        break;
      default:  // parts in another order
        std::rotate(request.begin(), request.begin() + std::ptrdiff_t(random() % request.size()), request.end());
    }
    const Connection connection(server.port);
    connection.send(request);
  }
  CHECK_THAT(server.get(server.door), Contains("200 OK"));
  server.program.send(SIGTERM);
  CHECK(server.program.wait().code == 0);
}

TEST_CASE("two pages have two ports, and what cannot be is refused", "[cli]") {
  const ExplorePlace place;
  const Explored first(place), second(place);
  CHECK(first.port != second.port);
  CHECK(first.door != second.door);
  CHECK_THAT(second.get(first.door), Contains(" 404 "));
  const Arguments explore{"--weights", "w.safetensors", "--data", "tiny"};
  const auto refusal = [&](const Arguments& more) { return place.refusal_of("explore", explore + more); };
  CHECK_THAT(refusal({"--port", std::to_string(first.port)}),
             Contains("port " + std::to_string(first.port) + " cannot be had: Address already in use"));
  CHECK_THAT(refusal({"--port", "65536"}), Contains("--port must be 0 to 65535"));
  CHECK_THAT(refusal({"--port", "-1"}), Contains("--port must be 0 to 65535"));
  // Three numbers are no plane.
  Flow numbers(FlowConfig::parse(
      R"({"name": "three", "data": {"type": "vector", "dims": 3}, "layers": [{"type": "diagonal"}]})", "a test"));
  numbers.initialize(1);
  numbers.save(place.path("three.safetensors"));
  CHECK_THAT(place.refusal_of("explore", {"--weights", "three.safetensors"}), Contains("of neither"));
  const Outcome outcome = Program({"/usr/bin/env", "PATH=/nonexistent", std::string(FLOWSMITH_TOOL_DIR) + "/flowsmith",
                                   "explore", "--weights", "w.safetensors", "--data", "tiny", "--open"},
                                  place.dir().path())
                              .wait();
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.err, Contains("there is no xdg-open here"));
}

}  // namespace
}  // namespace flowsmith::core
