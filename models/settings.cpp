#include "models/settings.h"

#include <nlohmann/json.hpp>

namespace flowsmith::core {

Settings::Settings(const nlohmann::ordered_json& json, std::string path)
    : json_(std::make_shared<const nlohmann::ordered_json>(json)), path_(std::move(path)) {}

int Settings::integer(const char* key) const { return json_->at(key).get<int>(); }
double Settings::number(const char* key) const { return json_->at(key).get<double>(); }
bool Settings::flag(const char* key) const { return json_->at(key).get<bool>(); }
std::string Settings::text(const char* key) const { return json_->at(key).get<std::string>(); }
std::vector<int> Settings::integers(const char* key) const { return json_->at(key).get<std::vector<int>>(); }
bool Settings::is_list(const char* key) const { return json_->at(key).is_array(); }

Settings Settings::component(const char* key) const { return {json_->at(key), path_ + "." + key}; }

std::vector<Settings> Settings::components(const char* key) const {
  std::vector<Settings> list;
  for (const auto& item : json_->at(key))
    list.emplace_back(item, path_ + "." + key + "." + std::to_string(list.size()));
  return list;
}

}  // namespace flowsmith::core
