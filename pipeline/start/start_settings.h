#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/experiment.h"
#include "pipeline/start/data_survey.h"
#include "pipeline/start/input_choice.h"
#include "pipeline/start/machine.h"
#include "workers/infer/tile_predictor.h"

namespace tessera {

/// What `tessera init` knows when it chooses.
struct StartFacts {
  std::string name;  ///< of the experiment
  InputChoice inputs;
  std::vector<double> resolution_nm;  ///< of images, as the user says; or empty
  DataSurvey survey;
  SectionSplit split;                                        ///< of annotated sections
  std::optional<std::string> checkpoint;                     ///< predict with it in place of a training
  std::vector<std::pair<std::string, std::string>> network;  ///< of the checkpoint: keys of `model:`
  Machine machine;
};

/// What the user wishes.
struct StartWishes {
  std::optional<double> minutes;  ///< of the training
  bool gpu = false;               ///< for a machine with a GPU, though this one may have none
  bool paper = false;             ///< the network and the optimizer of Ronneberger et al. 2015
};

/// The settings that an experiment begins with.
struct StartSettings {
  bool gpu = false, paper = false;
  std::int64_t base_filters = 16, depth = 4;
  double dropout = 0.2, learning_rate = 1e-3, average_decay = 0.995, elastic = 10;
  std::int64_t batch = 2, tile = 476, tile_output = 292;
  double minutes = 15;
  std::int64_t expected = 0;  ///< iterations that fit the minutes; 0: not measured
  std::int64_t iterations = 20000, warm_up = 50, validate_every = 200;
  Averaging averaging = Averaging::none;
  std::string measured;     ///< "0.13 s a sample ..."; "" where nothing was measured
  double sample_s = 0;      ///< of one sample; 0: not measured
  double prediction_s = 0;  ///< of the whole volume, with the averaging; 0: not measured
};

/// The choice before anything is measured.
StartSettings first_settings(const StartFacts& facts, const StartWishes& wishes);

/// Sets the iterations that fit the minutes, and what follows from their number. The limit of iterations is
/// twice that: the minutes end the training also where it is faster than measured, on a machine that was
/// busy. `sample_s`, `validation_s`: measured seconds of one sample and of one validation.
void set_iterations(StartSettings& settings, double sample_s, double validation_s, int parallel);

/// The number of filters to try next, after `settings` were measured: more where the time allows far more
/// iterations than a small network needs, fewer where it allows too few; none when they fit.
std::optional<std::int64_t> better_filters(const StartSettings& settings);

}  // namespace tessera
