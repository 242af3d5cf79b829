// What the factory of a layer, network or base reads: one component of a checked configuration (models/config.h). Every
// key that the component's type has is there, with its default where the file did not name it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace flowsmith::core {

class Settings {
 public:
  /// `json` is an object that check_component() returned; `path` is where it stands: "layers.3.conditioner".
  Settings(const nlohmann::ordered_json& json, std::string path);

  std::string type() const { return text("type"); }
  int integer(const char* key) const;
  double number(const char* key) const;
  bool flag(const char* key) const;
  std::string text(const char* key) const;
  std::vector<int> integers(const char* key) const;
  /// Whether the value is a list: a mask is a name or a list.
  bool is_list(const char* key) const;
  Settings component(const char* key) const;
  std::vector<Settings> components(const char* key) const;

  const std::string& path() const { return path_; }

 private:
  std::shared_ptr<const nlohmann::ordered_json> json_;
  std::string path_;
};

}  // namespace flowsmith::core
