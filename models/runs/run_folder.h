// The folder of a training run, and what people find in it:
//
//   config.json        the options that define the run
//   metrics.csv        one row per step, per validation and per test
//   last.safetensors   weights, Adam moments and counters: everything a resume needs
//   best.safetensors   weights at the best validation bits/dim
//   results.json       the closing scores
//   report.html        all of it on one page, with pictures
//   training_examples.png  the first of what is learned from
//   samples/*.png      grids of samples, one per snapshot
//   frames/*.png       the same for a film, if one is wanted
//   events.out.*       the metrics and samples for TensorBoard
//
// Every file but the two logs is written beside its target, synced and renamed.
#pragma once

#include <optional>
#include <string>

#include "engine/file.h"
#include "models/training/trainer.h"

namespace flowsmith::core {

/// What config.json keeps: the options that a resumed run must share with the one it continues.
struct RunConfig {
  TrainingOptions training;  ///< the flow's shape is that of the dataset
  std::string data = "mnist";
  int channels = 0;                            ///< that images are converted to; 0: as they are
  std::optional<double> noise = std::nullopt;  ///< of a toy density; none: its own
  std::string checksum = {};                   ///< of the data; runs of earlier versions have none
  std::string command = {};                    ///< that began the run, as people read it
  std::string version = {};                    ///< of the program that wrote the file; filled by read_config()
};

struct Metrics {
  std::int64_t step = 0;
  int epoch = 0;
  std::optional<double> train, validation, test;  ///< in the unit of the flow
  std::optional<double> gradient_norm, learning_rate, examples_per_second;
};

class RunFolder {
 public:
  /// Does not touch the disk.
  explicit RunFolder(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string last() const { return path_ + "/last.safetensors"; }
  std::string best() const { return path_ + "/best.safetensors"; }
  std::string config() const { return path_ + "/config.json"; }
  std::string metrics() const { return path_ + "/metrics.csv"; }
  std::string training_examples() const { return path_ + "/training_examples.png"; }
  std::string results() const { return path_ + "/results.json"; }
  std::string frames() const { return path_ + "/frames"; }
  std::string frame(std::int64_t step) const;
  std::string report() const { return path_ + "/report.html"; }
  std::string sample_grid(std::int64_t step) const;

  /// Whether a run was started here.
  bool holds_run() const;

  /// Makes the folders and writes the first checkpoint and config.json. Throws Error if a run is there already or they
  /// cannot be written.
  void create(const RunConfig& config, const SafetensorsFile& checkpoint) const;
  /// Writes config.json anew, for a run that goes on with more epochs or with data in another place.
  void write_config(const RunConfig& config) const;
  /// Makes frames().
  void make_frames() const;
  /// Removes what create() wrote, and the first pictures.
  void withdraw() const;
  /// Throws Error that names the file if it is missing or not a config.json of ours.
  RunConfig read_config() const;

 private:
  std::string path_;
};

/// A run's folder in the hands of one process: what is found in it stays as it is until this process changes it.
class RunClaim {
 public:
  /// Makes the folder if it is not there. Throws FolderTaken if another process is at work in it, and Error if it
  /// cannot be made.
  explicit RunClaim(RunFolder folder);
  /// Removes again what was made for a run that did not begin.
  ~RunClaim();
  RunClaim(const RunClaim&) = delete;
  RunClaim& operator=(const RunClaim&) = delete;

  const RunFolder& folder() const { return folder_; }

 private:
  RunFolder folder_;
  std::vector<std::string> made_;  ///< the folder and those around it that were not there, the innermost first
  std::optional<FolderLock> lock_;
};

/// What a score is called wherever a run writes one down (metrics.csv, TensorBoard, metadata of weights): "train_bpd"
/// in bits per dimension of images, "train_nats" of numbers; and so for "val" and "test".
std::string score_name(const std::string& set, const std::string& unit);

/// metrics.csv. Columns: step, epoch, train_bpd, val_bpd, test_bpd, gradient_norm, learning_rate, images_per_second;
/// for numbers train_nats, val_nats, test_nats and rows_per_second. A field that a row does not have is empty.
class MetricsLog {
 public:
  /// Begins the file, or, for a run that goes on from the checkpoint (step, position in its epoch), first drops the
  /// rows that the run is about to write again.
  MetricsLog(const std::string& path, const std::string& unit, std::int64_t step, int position);

  void write(const Metrics& row);

 private:
  std::optional<AppendFile> file_;
};

}  // namespace flowsmith::core
