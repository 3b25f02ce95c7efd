#include "workers/train/trainer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <ostream>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "tests/unit/error_message.h"
#include "trainer_fixture.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::keras_style;
using testing::message_of;
using testing::paper_style;
using testing::TrainerTest;

TEST_F(TrainerTest, TheLossFalls) {
  for (UNetOptions network : {paper_style(), keras_style()}) {
    network.base_filters = 4;
    network.dropout = 0;
    options_.optimizer.kind = OptimizerOptions::Kind::adam;
    options_.optimizer.learning_rate = 1e-2;
    options_.global_batch = 1;
    const auto training = trainer(network);
    const double before = losses(*training, 1).front();
    losses(*training, 40);
    double after = 0;
    for (const double loss : losses(*training, 5))
      after += loss / 5;
    EXPECT_LT(after, 0.5 * before);
    EXPECT_LT(training->step(StopWish::none).pixel_error, 0.2);
    EXPECT_EQ(training->iteration(), 47);
  }
}

struct Resumed {
  const char* name;
  UNetOptions (*network)();
  OptimizerOptions::Kind optimizer;
  LearningRateSchedule::Kind schedule = LearningRateSchedule::Kind::constant;
  double clip_norm = 0, average_decay = 0;
};
void PrintTo(const Resumed& resumed, std::ostream* out) {
  *out << resumed.name;
}

class Resume : public TrainerTest, public ::testing::WithParamInterface<Resumed> {};

TEST_P(Resume, EqualsNeverStopped) {
  options_.optimizer.kind = GetParam().optimizer;
  options_.optimizer.weight_decay = 0.01;
  options_.schedule.kind = GetParam().schedule;
  options_.schedule.iterations = 10;
  options_.schedule.warm_up = GetParam().schedule == LearningRateSchedule::Kind::constant ? 0 : 2;
  options_.schedule.step_every = 4;
  options_.clip_norm = GetParam().clip_norm;
  options_.average_decay = GetParam().average_decay;
  options_.samples.augmentation.elastic = 3;
  options_.dice_weight = 0.5;
  data_options_.weight_map.w0 = 10;
  const UNetOptions network = GetParam().network();
  ASSERT_GT(network.dropout, 0);
  if (network.padding == Padding::same) options_.samples.tile_side = 40;
  const auto straight = trainer(network);
  // Stopped in the middle of an epoch, and over in the next one.
  ASSERT_NE(3 * options_.global_batch % straight->samples().samples_per_epoch(), 0);
  ASSERT_LT(straight->samples().samples_per_epoch(), 9 * options_.global_batch);
  const std::vector<double> expected = losses(*straight, 9);
  {
    const auto first = trainer(network);
    losses(*first, 3);
    write_checkpoint_file(folder_ / "a.h5", state_of(*first));
  }
  const auto second = trainer(network, 99);
  losses(*second, 1);
  second->restore(parse_checkpoint(read_file_bytes(folder_ / "a.h5"), "a.h5"), "a.h5");
  EXPECT_EQ(second->iteration(), 3);
  const std::vector<double> found = losses(*second, 6);
  for (std::size_t i = 0; i < 6; ++i)
    EXPECT_EQ(found[i], expected[i + 3]) << "iteration " << i + 4;
  EXPECT_NE(expected[4], expected[5]);
  expect_same_state(state_of(*straight), state_of(*second));
}

INSTANTIATE_TEST_SUITE_P(
    All, Resume,
    ::testing::Values(Resumed{"PaperSgd", paper_style, OptimizerOptions::Kind::sgd},
                      Resumed{"PaperAdam", paper_style, OptimizerOptions::Kind::adam},
                      Resumed{"KerasSgd", keras_style, OptimizerOptions::Kind::sgd},
                      Resumed{"KerasAdam", keras_style, OptimizerOptions::Kind::adam},
                      Resumed{"PaperSgdStepClipAverage", paper_style, OptimizerOptions::Kind::sgd,
                              LearningRateSchedule::Kind::step, 0.01, 0.9},
                      Resumed{"PaperAdamWCosine", paper_style, OptimizerOptions::Kind::adamw,
                              LearningRateSchedule::Kind::cosine},
                      Resumed{"KerasAdamPolynomialAverage", keras_style, OptimizerOptions::Kind::adam,
                              LearningRateSchedule::Kind::polynomial, 0, 0.9},
                      Resumed{"KerasAdamWCosineClipAverage", keras_style, OptimizerOptions::Kind::adamw,
                              LearningRateSchedule::Kind::cosine, 0.01, 0.9}),
    [](const auto& resumed) { return std::string(resumed.param.name); });

/// Also under weight decay, momentum and an average; a resumed training goes on alike.
TEST_F(TrainerTest, FrozenParametersStay) {
  const UNetOptions network = paper_style();
  const Checkpoint before = state_of(*trainer(network));
  std::string first;  // a weight, not a bias: biases begin at 0
  for (const auto& [path, array] : before.arrays) {
    if (first.empty() && path.starts_with("weights/convs") && path.ends_with("weight"))
      first = path.substr(std::string("weights/").size());
  }
  options_.frozen = {first};
  options_.average_decay = 0.9;
  options_.optimizer.weight_decay = 0.1;
  options_.optimizer.learning_rate = 1e-2;
  for (const auto kind : {OptimizerOptions::Kind::sgd, OptimizerOptions::Kind::adamw}) {
    options_.optimizer.kind = kind;
    const auto straight = trainer(network);
    losses(*straight, 3);
    const Checkpoint middle = state_of(*straight);
    losses(*straight, 2);
    const Checkpoint after = state_of(*straight);
    for (const auto& [path, array] : before.arrays) {
      if (!path.starts_with("weights/") || !path.ends_with("weight")) continue;
      const bool is_frozen = path == "weights/" + first;
      EXPECT_EQ(after.arrays.at(path).bytes == array.bytes, is_frozen) << path;
    }
    EXPECT_EQ(after.arrays.at("average/" + first).bytes, before.arrays.at("weights/" + first).bytes);
    const auto resumed = trainer(network, 99);
    resumed->restore(middle, "a.h5");
    losses(*resumed, 2);
    expect_same_state(after, state_of(*resumed));
  }
}

/// Between samples, and between layers of both passes: an iteration can be left anywhere, and leaves no
/// trace.
TEST_F(TrainerTest, AnIterationThatIsLeftChangesNothing) {
  for (const UNetOptions& network : {paper_style(), keras_style()}) {
    if (network.padding == Padding::same) options_.samples.tile_side = 40;
    for (const bool reproducible : {false, true}) {
      options_.reproducible = reproducible;
      options_.average_decay = 0.9;
      const auto straight = trainer(network), left = trainer(network);
      const std::vector<double> expected = losses(*straight, 4);
      EXPECT_EQ(losses(*left, 1).front(), expected[0]);
      const Checkpoint before = state_of(*left);
      int asked = 0, limit = 0, tried = 0;
      left->leave_when([&] { return ++asked > limit; });
      for (bool whole = false; !whole; ++tried) {
        asked = 0;
        const IterationEnd end = left->advance();
        whole = !end.left;
        if (whole) continue;
        EXPECT_EQ(end.stop, StopWish::stop_early);
        EXPECT_EQ(asked, limit + 1) << "it went on";
        EXPECT_EQ(left->iteration(), 1);
        if (limit % 5 == 0) expect_same_state(state_of(*left), before);
        ++limit;
      }
      EXPECT_GT(tried, 40) << "both passes of two samples";
      std::vector<double> found;
      left->report([&](const TrainingStep& step) { found.push_back(step.loss); });
      left->leave_when({});
      for (const double loss : losses(*left, 2))
        found.push_back(loss);
      EXPECT_EQ(found, std::vector<double>(expected.begin() + 1, expected.end()));
      expect_same_state(state_of(*left), state_of(*straight));
    }
  }
}

TEST_F(TrainerTest, TheScheduleDecidesTheRate) {
  options_.optimizer.learning_rate = 1e-3;
  options_.schedule = {.kind = LearningRateSchedule::Kind::cosine, .iterations = 8, .warm_up = 3};
  options_.global_batch = 3;
  for (const bool scaled : {false, true}) {
    options_.scale_learning_rate = scaled;
    const auto training = trainer(paper_style());
    for (int t = 1; t <= 6; ++t) {
      const double share = t < 6 ? 0 : 0.95;
      EXPECT_DOUBLE_EQ(training->step(StopWish::none, share).learning_rate,
                       (scaled ? 3e-3 : 1e-3) * learning_rate_factor(options_.schedule, t, share));
    }
  }
}

/// All parameters of a checkpoint as one vector.
std::vector<double> parameters_of(const Checkpoint& checkpoint, const std::string& folder = "weights/") {
  std::vector<double> all;
  for (const auto& [path, array] : checkpoint.arrays) {
    if (path.rfind(folder, 0) != 0 || path.find("running") != std::string::npos ||
        array.type != CheckpointArray::Type::float32)
      continue;
    std::vector<float> values(array.bytes.size() / sizeof(float));
    std::memcpy(values.data(), array.bytes.data(), array.bytes.size());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

TEST_F(TrainerTest, AStepIsNoLongerThanTheClippedGradient) {
  options_.optimizer.learning_rate = 1;
  options_.optimizer.momentum = 0;
  const auto step_length = [&](double& norm) {
    const auto training = trainer(paper_style());
    const std::vector<double> before = parameters_of(state_of(*training));
    norm = training->step(StopWish::none).gradient_norm;
    return distance(parameters_of(state_of(*training)), before);
  };
  double norm = 0, clipped_norm = 0;
  const double length = step_length(norm);
  EXPECT_NEAR(length, norm, 1e-4 * norm);
  EXPECT_GT(norm, 0.01);
  options_.clip_norm = 0.5 * norm;
  EXPECT_NEAR(step_length(clipped_norm), 0.5 * norm, 1e-4 * norm);
  EXPECT_EQ(clipped_norm, norm) << "reported before clipping";
  options_.clip_norm = 2 * norm;
  EXPECT_NEAR(step_length(clipped_norm), norm, 1e-4 * norm) << "a short gradient stays";
}

TEST_F(TrainerTest, TheAverageFollowsTheWeights) {
  const auto plain = trainer(keras_style());
  EXPECT_EQ(plain->averaged_network(), nullptr);
  options_.average_decay = 0.25;
  const auto training = trainer(keras_style());
  std::vector<double> average = parameters_of(state_of(*training));
  for (int t = 1; t <= 4; ++t) {
    EXPECT_EQ(plain->step(StopWish::none).loss, training->step(StopWish::none).loss) << "it changes no step";
    const Checkpoint state = state_of(*training);
    const std::vector<double> weights = parameters_of(state), stored = parameters_of(state, "average/");
    const double kept = std::min(0.25, (1.0 + t) / (10.0 + t));
    for (std::size_t i = 0; i < average.size(); ++i)
      average[i] = kept * average[i] + (1 - kept) * weights[i];
    EXPECT_LT(distance(stored, average), 1e-6) << t;
    EXPECT_GT(distance(stored, weights), 1e-5) << t;
  }
  // What predicts: the averaged weights with the batch statistics of the running network.
  const Checkpoint state = state_of(*training);
  for (const auto& network : {training->averaged_network(), load_network(state, "a.h5")}) {
    Checkpoint predicting;
    store_network(*network, predicting);
    EXPECT_EQ(parameters_of(predicting), parameters_of(state, "average/"));
    EXPECT_EQ(predicting.arrays.at("weights/norms.0.running_mean").bytes,
              state.arrays.at("weights/norms.0.running_mean").bytes);
  }
}

TEST_F(TrainerTest, AMissingAverageStartsAsTheWeights) {
  const auto before = trainer(paper_style());
  losses(*before, 2);
  options_.average_decay = 0.9;
  const auto after = trainer(paper_style(), 5);
  losses(*after, 1);
  after->restore(state_of(*before), "a.h5");
  EXPECT_EQ(parameters_of(state_of(*after), "average/"), parameters_of(state_of(*before)));
  Checkpoint cut = state_of(*after);
  cut.arrays.erase("average/to_classes.bias");
  EXPECT_THAT(message_of([&] { trainer(paper_style())->restore(cut, "a.h5"); }),
              HasSubstr("a.h5 has no array average/to_classes.bias"));
  EXPECT_THAT(message_of([&] { load_network(cut, "a.h5"); }),
              HasSubstr("a.h5 has no array average/to_classes.bias"));
}

TEST_F(TrainerTest, TakesTheNormalisationOfTheCheckpoint) {
  const auto training = trainer(paper_style());
  Checkpoint checkpoint = state_of(*training);
  EXPECT_EQ(training->samples().normalisation().mean, data().mean());
  checkpoint.numbers["normalisation"] = {1.5, 2.5};
  training->restore(checkpoint, "a.h5");
  EXPECT_EQ(training->samples().normalisation().mean, 1.5);
  EXPECT_EQ(training->samples().normalisation().std, 2.5);
}

// With equal weights and no learning, a batch's loss is the mean of its samples'.
TEST_F(TrainerTest, BatchEqualsItsSamples) {
  options_.samples.class_balance = false;
  options_.optimizer.learning_rate = 0;
  for (const UNetOptions& network : {paper_style(), keras_style()}) {
    options_.global_batch = 1;
    double mean = 0;
    for (const double loss : losses(*trainer(network), 4))
      mean += loss / 4;
    options_.global_batch = 4;
    EXPECT_NEAR(losses(*trainer(network), 1).front(), mean, 1e-6 * mean);
  }
}

TEST_F(TrainerTest, ResultIsIndependentOfPrefetchThreads) {
  options_.samples.augmentation.elastic = 3;
  options_.global_batch = 3;
  options_.prefetch_threads = 0;
  const std::vector<double> expected = losses(*trainer(paper_style()), 5);
  for (const int threads : {1, 3}) {
    options_.prefetch_threads = threads;
    const auto training = trainer(paper_style());
    EXPECT_EQ(losses(*training, 5), expected) << threads;
    const double share = training->step(StopWish::none).waiting_share;
    EXPECT_TRUE(share >= 0 && share <= 1) << share;
  }
}

TEST_F(TrainerTest, EachTermChangesTheLoss) {
  const double plain = losses(*trainer(paper_style()), 1).front();
  options_.dice_weight = 1;
  EXPECT_GT(losses(*trainer(paper_style()), 1).front(), plain);
  options_.dice_weight = 0;
  data_options_.weight_map.w0 = 10;
  data_.reset();
  EXPECT_NE(losses(*trainer(paper_style()), 1).front(), plain);
  data_options_.ignore_label = 1;
  data_.reset();
  EXPECT_THAT(data().class_counts(), ::testing::ElementsAre(::testing::Gt(0), 0));
  EXPECT_GT(losses(*trainer(paper_style()), 1).front(), 0);
}

TEST_F(TrainerTest, TheSeedDecidesTheSamples) {
  const std::vector<double> first = losses(*trainer(paper_style()), 2);
  EXPECT_EQ(losses(*trainer(paper_style()), 2), first);
  options_.samples.seed = 2;
  EXPECT_NE(losses(*trainer(paper_style()), 2), first);
}

TEST_F(TrainerTest, CountsStepsAndReturnsWishes) {
  const auto training = trainer(paper_style());
  const TrainingStep step = training->step(StopWish::time_is_up);
  EXPECT_EQ(step.iteration, 1);
  EXPECT_EQ(step.stop, StopWish::time_is_up);
  EXPECT_EQ(training->samples().samples_per_epoch(), 15) << "2 x 50 x 60 pixels, 20 x 20 a sample";
  EXPECT_DOUBLE_EQ(step.epoch, 2.0 / 15);
  EXPECT_TRUE(step.pixel_error >= 0 && step.pixel_error <= 1);
  EXPECT_EQ(training->step(StopWish::none).stop, StopWish::none);
}

TEST_F(TrainerTest, NonFiniteLossEndsTheTraining) {
  options_.optimizer.learning_rate = 1e30;
  const auto training = trainer(paper_style());
  EXPECT_THAT(message_of([&] { losses(*training, 5); }),
              AllOf(HasSubstr("not finite at iteration"), HasSubstr("train.learning_rate (now 1e+30)"),
                    HasSubstr("checkpoint")));
}

TEST_F(TrainerTest, RestoreRejectsAnotherNetwork) {
  const Checkpoint stored = state_of(*trainer(paper_style()));
  UNetOptions other = paper_style();
  other.base_filters = 4;
  EXPECT_THAT(message_of([&] { trainer(other)->restore(stored, "a.h5"); }),
              AllOf(HasSubstr("a.h5 holds another network"), HasSubstr("base_filters is 4 here, 2 there")));
  EXPECT_THAT(message_of([&] { trainer(keras_style())->restore(stored, "a.h5"); }),
              HasSubstr("same_padding is 1 here, 0 there"));
  options_.optimizer.kind = OptimizerOptions::Kind::adam;
  EXPECT_THAT(message_of([&] { trainer(paper_style())->restore(stored, "a.h5"); }),
              HasSubstr("the state of another optimizer (momentum; here: mean, variance)"));
  options_.optimizer.kind = OptimizerOptions::Kind::sgd;
  Checkpoint weights_only;
  store_network(*make_network(paper_style(), 1), weights_only);
  EXPECT_THAT(message_of([&] { trainer(paper_style())->restore(weights_only, "a.h5"); }), HasSubstr("a.h5"));
  Checkpoint cut = stored;
  cut.arrays["weights/to_classes.bias"].shape = {3};
  EXPECT_THAT(message_of([&] { trainer(paper_style())->restore(cut, "a.h5"); }),
              AllOf(HasSubstr("to_classes.bias"), HasSubstr("shape (3), not (2)")));
}

}  // namespace
}  // namespace tessera
