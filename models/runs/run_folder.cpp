#include "models/runs/run_folder.h"

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "engine/version.h"
#include "models/files/tutorial_files.h"
#include "models/json.h"

namespace flowsmith::core {
namespace {

constexpr std::uint64_t kLargestConfig = 1 << 20;
constexpr std::uint64_t kLargestMetrics = std::uint64_t{1} << 30;

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw Error(path + ": cannot make this folder (" + error.message() + "): choose another folder");
}

/// Removes the files that a process which was killed left half written (engine/file.h): nobody else is writing any.
void remove_temporaries(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.ends_with(kTemporarySuffix)) std::filesystem::remove(entry.path(), ignored);
  }
}

constexpr int kTrainField = 2, kValidationField = 3, kTestField = 4, kFields = 8;

std::vector<std::string> fields_of(const std::string& row) {
  std::vector<std::string> fields;
  std::size_t begin = 0, end;
  while ((end = row.find(',', begin)) != std::string::npos) {
    fields.push_back(row.substr(begin, end - begin));
    begin = end + 1;
  }
  fields.push_back(row.substr(begin));
  return fields;
}

/// Whether a run that goes on from a checkpoint keeps this row of its metrics. Rows up to the checkpoint stay; of those
/// at its own step a validation is still to come if the checkpoint was taken before it, at the end of an epoch or in
/// the middle of one, and a test always is.
bool keeps_row(const std::vector<std::string>& row, std::int64_t step, int position) {
  std::int64_t row_step = 0;
  const std::string& text = row[0];
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), row_step);
  if (error != std::errc() || end != text.data() + text.size() || row.size() != kFields) return false;
  if (row_step != step || !row[kTrainField].empty()) return row_step <= step;
  return position == 0 && row[kTestField].empty();
}

}  // namespace

namespace {

/// "step_0000123.png": in the order of names pictures are in that of steps.
std::string picture_name(std::int64_t step) {
  char name[64];
  std::snprintf(name, sizeof name, "/step_%07lld.png", static_cast<long long>(step));
  return name;
}

}  // namespace

std::string RunFolder::sample_grid(std::int64_t step) const { return path_ + "/samples" + picture_name(step); }
std::string RunFolder::frame(std::int64_t step) const { return frames() + picture_name(step); }

bool RunFolder::holds_run() const {
  std::error_code ignored;  // a path that cannot be looked up holds no run; making its folder tells why
  return std::filesystem::exists(config(), ignored) || std::filesystem::exists(last(), ignored);
}

void RunFolder::create(const RunConfig& run, const SafetensorsFile& checkpoint) const {
  if (holds_run()) {
    throw Error(path_ + " already holds a run: resume it, or choose another folder");
  }
  make_folder(path_ + "/samples");
  write_safetensors(last(), checkpoint);  // first, because it is large: a disk too full for it holds no run afterwards
  write_config(run);
}

void RunFolder::make_frames() const { make_folder(frames()); }

void RunFolder::withdraw() const {
  std::error_code ignored;
  for (const std::string& file :
       {config(), last(), metrics(), training_examples(), sample_grid(0), frame(0), frames()}) {
    std::filesystem::remove(file, ignored);  // a folder only if it is empty
  }
}

void RunFolder::write_config(const RunConfig& run) const {
  const TrainingOptions& t = run.training;
  nlohmann::ordered_json json = {{"flow", nlohmann::ordered_json::parse(t.flow.line())},
                                 {"data", run.data},
                                 {"channels", run.channels},
                                 {"epochs", t.epochs},
                                 {"batch_size", t.batch_size},
                                 {"lr", t.lr},
                                 {"lr_decay", t.lr_decay},
                                 {"clip_norm", t.clip_norm},
                                 {"seed", t.seed},
                                 {"recompute", t.recompute}};
  if (run.noise) json["noise"] = *run.noise;
  json["checksum"] = run.checksum;
  json["command"] = run.command;
  json["version"] = version();
  write_file_atomically(config(), json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

namespace {

/// An integer of 0 to 2^31 - 1; what is none of these is a type error of the library.
int integer(const nlohmann::ordered_json& json, const char* key) {
  const auto& value = json.at(key);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > 0x7fffffff) {
    throw Error(std::string("'") + key + "' is not a whole number of 0 or more");
  }
  return value.get<int>();
}

/// Runs of earlier versions know the tutorial's models only, and the oldest neither `couplings` nor `recompute`.
FlowConfig flow_config(const nlohmann::ordered_json& json) {
  if (json.contains("flow")) return FlowConfig::parse(json.at("flow").dump(), "flow");
  const FlowConfig config = tutorial_config(json.at("model").get<std::string>(), json.at("edition").get<std::string>());
  return config.with_couplings(json.contains("couplings") ? integer(json, "couplings") : config.couplings())
      .with_shape(integer(json, "height"), integer(json, "width"), 1);
}

}  // namespace

RunConfig RunFolder::read_config() const {
  if (!holds_run()) throw Error(path_ + ": there is no run to resume here: start a new one, or name its folder");
  const std::string text = read_text_file(config(), kLargestConfig);
  try {
    const nlohmann::ordered_json json = parse_json(text);
    RunConfig run;
    TrainingOptions& t = run.training;
    t.flow = flow_config(json);
    run.data = json.at("data");
    if (json.contains("channels")) run.channels = integer(json, "channels");
    run.checksum = json.value("checksum", "");
    run.command = json.value("command", "");
    run.version = json.value("version", "");
    if (json.contains("noise")) run.noise = json.at("noise").get<double>();
    t.epochs = integer(json, "epochs");
    t.batch_size = integer(json, "batch_size");
    t.lr = json.at("lr");
    t.lr_decay = json.at("lr_decay");
    t.clip_norm = json.at("clip_norm");
    t.seed = json.at("seed");
    t.recompute = json.value("recompute", false);
    require_valid(t);
    return run;
  } catch (const nlohmann::json::exception& error) {
    throw Error(config() + ": not the configuration of a run (" + json_reason(error) +
                "): start a new run in another folder");
  } catch (const Error& error) {
    throw Error(config() + ": " + error.what());
  }
}

RunClaim::RunClaim(RunFolder folder) : folder_(std::move(folder)) {
  const std::filesystem::path path(folder_.path());
  do {
    // Another claim may remove what it made between two of these lines: then they begin again.
    lock_.reset();
    std::error_code ignored;
    made_.clear();
    for (auto part = path; !part.empty() && !std::filesystem::exists(part, ignored); part = part.parent_path()) {
      made_.push_back(part.string());
    }
    make_folder(folder_.path());
    lock_.emplace(folder_.path());
  } while (!lock_->is_of(folder_.path()));
  remove_temporaries(folder_.path());
  remove_temporaries(folder_.path() + "/samples");
}

RunClaim::~RunClaim() {
  if (made_.empty() || folder_.holds_run()) return;
  std::error_code ignored;  // remove() leaves a folder that holds something
  std::filesystem::remove(folder_.path() + "/samples", ignored);
  for (const std::string& folder : made_) std::filesystem::remove(folder, ignored);
}

std::string score_name(const std::string& set, const std::string& unit) {
  return set + (unit == "nats" ? "_nats" : "_bpd");
}

MetricsLog::MetricsLog(const std::string& path, const std::string& unit, std::int64_t step, int position) {
  std::string kept = "step,epoch";
  for (const char* const set : {"train", "val", "test"}) kept += "," + score_name(set, unit);
  kept += std::string(",gradient_norm,learning_rate,") + (unit == "nats" ? "rows" : "images") + "_per_second\n";
  if (step > 0 && std::filesystem::exists(path)) {
    const std::string text = read_text_file(path, kLargestMetrics);
    std::size_t begin = text.find('\n');
    // Earlier versions had no column for tests.
    const bool has_tests = begin != std::string::npos && text.substr(0, begin).find(",test_") != std::string::npos;
    while (begin != std::string::npos) {
      const std::size_t end = text.find('\n', ++begin);
      if (end == std::string::npos) break;  // a row that was cut off
      std::vector<std::string> row = fields_of(text.substr(begin, end - begin));
      if (!has_tests && row.size() == kFields - 1) row.insert(row.begin() + kTestField, "");
      if (keeps_row(row, step, position)) {
        for (int i = 0; i < kFields; ++i) kept += row[i] + (i + 1 < kFields ? "," : "\n");
      }
      begin = end;
    }
  }
  write_file_atomically(path, kept);
  file_.emplace(path);
}

void MetricsLog::write(const Metrics& row) {
  const auto field = [](const std::optional<double>& value) -> std::string {
    if (!value) return "";
    char text[32];
    std::snprintf(text, sizeof text, "%.7g", *value);
    return text;
  };
  file_->append(std::to_string(row.step) + "," + std::to_string(row.epoch) + "," + field(row.train) + "," +
                field(row.validation) + "," + field(row.test) + "," + field(row.gradient_norm) + "," +
                field(row.learning_rate) + "," + field(row.examples_per_second) + "\n");
}

}  // namespace flowsmith::core
