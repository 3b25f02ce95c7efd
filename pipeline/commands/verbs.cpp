#include "pipeline/commands/verbs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <sstream>
#include <utility>

#include "io/base/error.h"
#include "io/base/nearest_word.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/installed_file.h"

namespace tessera {

namespace {

const std::vector<Verb> kVerbs{
    {"init",
     "Looks at a volume and its labels, measures this machine, and writes an experiment.",
     "tessera init em.h5[:/path]|STACK.tif|FOLDER [--labels L.h5:/path|L.tif|FOLDER] [--output my.yaml] "
     "[options]",
     {{{"tessera init raw.tif --labels labels.tif --resolution 50,4,4",
        "Writes raw.yaml: network, tile, batch and time, with the reasons as comments."},
       {"tessera init em.h5 --minutes 60 --output long.yaml",
        "Finds raw volume and labels in an HDF5 file, for an hour of training."}}},
     "docs/training.md",
     {"input"},
     init_options,
     run_init},
    {"run",
     "Trains, predicts, scores and reports, or goes on where that stopped.",
     "tessera run CONFIG.yaml [--workers N|auto] [--set key=value ...] [--restart | --overwrite]",
     {{{"tessera run my.yaml", "All stages, with as many workers as cores or GPUs allow."},
       {"tessera run my.yaml --workers 1", "The same without mpirun, in one process at a time."}}},
     "docs/training.md",
     {"config"},
     run_options,
     run_run},
    {"synth",
     "Makes a synthetic serial-section stack with labels.",
     "tessera synth OUT.h5 [--shape 20,512,512] [--seed 1] [options]",
     {{{"tessera synth em.h5", "A stack of 20 sections of 512 x 512, with labels of cells and of instances."},
       {"tessera synth big.h5 --shape 8,2048,2048 --cell-size 40 --seed 7",
        "Another stack, with larger sections and cells of about 40 pixels."}}},
     "docs/files.md",
     {"output"},
     synth_options,
     run_synth},
    {"import",
     "Converts a TIFF stack, or a folder of PNG or TIFF sections, to HDF5.",
     "tessera import STACK.tif|FOLDER|FILE.h5:/raw OUT.h5:/volumes/raw [--resolution 50,4,4] [options]",
     {{{"tessera import stack.tif em.h5:/volumes/raw --resolution 50,4,4",
        "A TIFF stack with voxels of 50 x 4 x 4 nm."},
       {"tessera import labels/ em.h5:/volumes/labels/cells --missing repeat",
        "A folder of sections. Sections missing by their numbers repeat the one before."}}},
     "docs/reading.md",
     {"stack", "output"},
     import_options,
     run_import},
    {"import-ctc",
     "Converts a data set of the Cell Tracking Challenge to HDF5: frames, masks and labels.",
     "tessera import-ctc FOLDER OUT.h5 [--sequence 01] [--silver] [--partial] [--missing skip]",
     {{{"tessera import-ctc PhC-C2DH-U373 u373.h5", "All sequences with masks: /01/raw, /01/labels, ..."},
       {"tessera import-ctc DIC-C2DH-HeLa hela.h5 --sequence 02 --silver",
        "One sequence, with the masks of the silver truth."}}},
     "docs/tracking.md",
     {"folder", "output"},
     import_ctc_options,
     run_import_ctc},
    {"info",
     "Lists what an HDF5 file holds.",
     "tessera info FILE.h5 [--json]",
     {{{"tessera info em.h5", "The datasets with their shapes, types, chunks and attributes."},
       {"tessera info em.h5 --json", "The same for programs."}}},
     "docs/files.md",
     {"file"},
     info_options,
     run_info},
    {"check",
     "Validates an experiment and prints its plan: tiles, blocks, and the time and memory on this machine.",
     "tessera check CONFIG.yaml [--set key=value ...] [--config] [--measure SECONDS] [--volume NAME | "
     "--volume-index N]",
     {{{"tessera check my.yaml", "All mistakes of the file at once, or the plan."},
       {"tessera check my.yaml --set infer.tile=572", "The plan with another value of a key."}}},
     "docs/inference.md",
     {"experiment"},
     check_options,
     run_check},
    {"train",
     "Trains a network on annotated sections.",
     "tessera train CONFIG.yaml [--set key=value ...] [--resume | --overwrite]",
     {{{"mpirun -n 3 --bind-to none tessera train my.yaml",
        "Trains on three ranks: a coordinator, which sleeps, and two workers."},
       {"tessera train my.yaml --resume --set train.iterations=8000",
        "Continues from the newest checkpoint, for more iterations."}}},
     "docs/training.md",
     {"config"},
     train_options,
     run_train},
    {"infer",
     "Predicts a whole volume, tile by tile, or continues a prediction.",
     "tessera infer CONFIG.yaml [--set key=value ...] [--restart] [--volume NAME | --volume-index N]",
     {{{"mpirun -n 3 --bind-to none tessera infer my.yaml",
        "Predicts on three ranks. After an interruption the same command continues."},
       {"tessera infer my.yaml --restart --set infer.averaging=symmetries8",
        "Starts over, with another setting."}}},
     "docs/inference.md",
     {"config"},
     infer_options,
     run_infer},
    {"segment",
     "Segments a prediction into objects, or continues a segmentation.",
     "tessera segment CONFIG.yaml [--set key=value ...] [--restart | --update | --cut T] [--volume NAME | "
     "--volume-index N]",
     {{{"mpirun -n 3 --bind-to none tessera segment my.yaml",
        "Segments on three ranks. After an interruption the same command continues."},
       {"tessera segment my.yaml --restart --set segment.threshold=0.3",
        "Starts over with another threshold. The first pass over the voxels is kept."}}},
     "docs/segmentation.md",
     {"config"},
     segment_options,
     run_segment},
    {"verify",
     "Reads a prediction again and compares every block with its journal.",
     "tessera verify RESULT.h5:/path|CONFIG.yaml [--forget-damaged] [--volume NAME | --volume-index N]",
     {{{"tessera verify my.yaml", "The result that the experiment names."},
       {"tessera verify prediction.h5:/volumes/predictions/interior --forget-damaged",
        "Also removes damaged blocks from the journal, so that the next infer predicts them again."}}},
     "docs/files.md",
     {"result"},
     verify_options,
     run_verify},
    {"pack",
     "Compresses a finished prediction.",
     "tessera pack RESULT.h5:/path|CONFIG.yaml OUT.h5:/path | --replace [--gzip LEVEL] "
     "[--allow-incomplete]\n"
     "             [--volume NAME | --volume-index N]",
     {{{"tessera pack my.yaml --replace", "Replaces the result by its packed copy."},
       {"tessera pack prediction.h5:/volumes/predictions/interior packed.h5:/interior --gzip 9",
        "Writes a small copy into a file of its own."}}},
     "docs/files.md",
     {"result", "output"},
     pack_options,
     run_pack},
    {"evaluate",
     "Scores a prediction against labels.",
     "tessera evaluate CONFIG.yaml [--set key=value ...] [--volume NAME | --volume-index N]\n"
     "       tessera evaluate --prediction P.h5:/path --labels L.h5:/path [--sections FIRST:END] [--raw "
     "R.h5:/path]\n"
     "                        [--kind auto|probability|labels|classes] [--scores LIST] [--thresholds N] "
     "[--class ID]\n"
     "                        [--invert-labels] [--label-kind classes|instances] [--ignore-label ID] "
     "[--region Y:END,X:END]\n"
     "                        [--allow-incomplete] [--json OUT.json] [--pictures FOLDER]\n"
     "       tessera evaluate --graph NAME.graph.h5 --labels L.h5:/path [--prediction SUPERVOXELS.h5:/path] "
     "[--thresholds N]\n"
     "                        [--ignore-label ID] [--sections FIRST:END] [--region Y:END,X:END] [--json "
     "OUT.json]",
     {{{"tessera evaluate my.yaml", "The held-out sections of an experiment."},
       {"tessera evaluate --prediction p.h5:/interior --labels em.h5:/volumes/labels/cells --sections "
        "16:20",
        "Any prediction, on the sections 16 to 19."}}},
     "docs/scores.md",
     {"config"},
     evaluate_options,
     run_evaluate},
    {"report",
     "Writes one HTML file about a run, or a comparison of two runs.",
     "tessera report RUN_FOLDER|CONFIG.yaml|EVALUATION.json [--output report.html] [--volume NAME]\n"
     "       tessera report A B [--output compare.html]      A, B: each any of these",
     {{{"tessera report my.yaml", "The page report.html in the run folder."},
       {"tessera report runs/first runs/second --output compare.html", "Two runs beside each other."}}},
     "docs/scores.md",
     {"run"},
     report_options,
     run_report},
    {"export",
     "Converts HDF5 to a TIFF stack or a folder of PNG sections.",
     "tessera export IN.h5:/path|CONFIG.yaml OUT.tif|FOLDER [--sections FIRST:END] [options]",
     {{{"tessera export prediction.h5:/volumes/predictions/interior prediction.tif", "A TIFF stack."},
       {"tessera export em.h5:/volumes/raw sections/ --sections 16:20",
        "The sections 16 to 19 as PNG files."}}},
     "docs/files.md",
     {"volume", "output"},
     export_options,
     run_export},
    {"export-model",
     "Writes a trained network as a TorchScript file.",
     "tessera export-model CHECKPOINT.h5 OUT.pt [--overwrite]",
     {{{"tessera export-model runs/my/checkpoints/best.h5 network.pt",
        "For any program with LibTorch or PyTorch."},
       {"tessera export-model runs/my/checkpoints/best.h5 network.pt --overwrite",
        "Replaces a file that exists already."}}},
     "docs/inference.md",
     {"checkpoint", "out"},
     export_model_options,
     run_export_model},
    {"submit",
     "Sends an experiment to a Slurm cluster as a chain of jobs.",
     "tessera submit CONFIG.yaml [--set key=value ...] [--stages train,infer,segment,evaluate,report] "
     "[--dry-run] [--scripts] [--unchecked]",
     {{{"tessera submit my.yaml --dry-run", "A table of the jobs. Nothing is submitted."},
       {"tessera submit my.yaml --stages infer,report", "Some of the stages only."}}},
     "docs/cluster.md",
     {"config"},
     submit_options,
     run_submit},
    {"status",
     "Shows which stages of a run are done, running or failed, and why.",
     "tessera status RUN_FOLDER|CONFIG.yaml [--json]",
     {{{"tessera status my.yaml", "The run of an experiment."},
       {"tessera status runs/my --json", "The same for programs."}}},
     "docs/cluster.md",
     {"run"},
     status_options,
     run_status},
    {"help",
     "Explains a verb, a key of an experiment, or a section of keys.",
     "tessera help [VERB|KEY|SECTION] [--all-keys] [--completion bash|zsh] [--man FOLDER]",
     {{{"tessera help train.momentum", "What a key means, its range and its default."},
       {"tessera help --all-keys", "An experiment file with every key, explained."}}},
     "docs/verbs.md",
     {"topic"},
     help_options,
     run_help}};

}  // namespace

const std::vector<Verb>& verbs() {
  return kVerbs;
}

const Verb* find_verb(const std::string& name) {
  const auto found = std::ranges::find_if(verbs(), [&](const Verb& one) { return one.name == name; });
  return found == verbs().end() ? nullptr : &*found;
}

std::optional<std::string> meant_verb(const std::string& word) {
  constexpr std::array kOtherNames{
      std::pair{"predict", "infer"},  std::pair{"inference", "infer"}, std::pair{"apply", "infer"},
      std::pair{"score", "evaluate"}, std::pair{"eval", "evaluate"},   std::pair{"test", "evaluate"},
      std::pair{"fit", "train"},      std::pair{"convert", "import"},  std::pair{"start", "init"},
      std::pair{"new", "init"},       std::pair{"plan", "check"},      std::pair{"validate", "check"},
      std::pair{"list", "info"},      std::pair{"compress", "pack"},   std::pair{"resume", "run"}};
  const auto other = std::ranges::find_if(kOtherNames, [&](const auto& one) { return word == one.first; });
  if (other != kOtherNames.end()) return other->second;
  std::vector<std::string> names;
  for (const Verb& verb : verbs())
    names.emplace_back(verb.name);
  return nearest_word(word, names);
}

std::string usage_of(const std::string& verb) {
  return find_verb(verb)->usage;
}

std::string general_help() {
  std::string text =
      "usage: tessera VERB ... [--log-level trace|debug|info|warn|error|off] [--progress auto|always|never]\n"
      "\nverbs:\n";
  for (const Verb& verb : verbs())
    text += fmt::format("  {:<12} {}\n", verb.name, verb.effect);
  return text +
         "\n'tessera VERB --help' explains a verb, with examples; 'tessera help KEY' a key of an experiment, "
         "such as\n"
         "train.momentum; 'tessera help train' the keys of a section\n"
         "'mpirun -n 3 tessera VERB ...' runs a verb on several ranks\n"
         "exit codes: 0 done, 1 failed, 2 usage or config, 75 stopped early with its state saved\n";
}

std::string verb_help(const Verb& verb) {
  std::ostringstream options;
  options.exceptions(std::ios::badbit);  // out of memory
  options << verb.options();
  std::string text =
      fmt::format("{}\n\nusage: {}\n\n{}\nexamples:\n", verb.effect, verb.usage, options.str());
  for (const Verb::Example& example : verb.examples)
    text += fmt::format("  {}\n      {}\n", example.command, example.effect);
  return text + fmt::format("\nmore: {}\n", documentation(verb.page));
}

int run_verb(const Verb& verb, const std::vector<std::string>& arguments, const Communicator& world) {
  const auto values = parse_arguments(arguments, verb.usage, verb.options(), verb.positional);
  if (values) return verb.run(*values, world);
  if (world.is_root()) std::cout << verb_help(verb);
  return kExitDone;
}

}  // namespace tessera
