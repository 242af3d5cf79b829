// Flows as data: what a configuration may say, what is made of it, and what is refused.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/component.h"
#include "models/registry.h"
#include "tests/support/error_of.h"
#include "tests/support/tiny_dataset.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

/// A flow of these layers on 4 x 6 pixels, or the data given.
std::string flow_text(const std::string& layers,
                      const std::string& data = R"({"type": "image8", "height": 4, "width": 6})",
                      const std::string& more = "") {
  return R"({"name": "mine", "data": )" + data + R"(, "layers": [)" + layers + "]" + more + "}";
}

FlowConfig parse(const std::string& text) { return FlowConfig::parse(text, "mine.json"); }

const std::string kNetwork = R"("conditioner": {"type": "gated_resnet", "hidden": 4, "blocks": 1})";
const std::string kAffine = R"("transformer": {"type": "affine", "order": "shift_first"})";

/// A small coupling with more keys.
std::string coupling(const std::string& keys = "") {
  return R"({"type": "coupling", )" + kAffine + ", " + kNetwork + (keys.empty() ? "" : ", ") + keys + "}";
}

/// The Error of parsing; it names the text's origin.
std::string complaint(const std::string& text) {
  const std::string message = error_of([&] { parse(text); });
  CHECK_THAT(message, Catch::StartsWith("mine.json: "));
  CHECK(message.size() < 600);
  return message;
}

/// The Error of a flow whose configuration alone is right.
std::string misfit(const std::string& text) {
  const FlowConfig config = parse(text);
  const std::string message = error_of([&] { Flow flow(config); });
  CHECK_THAT(message, Catch::StartsWith("model mine: "));
  return message;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string kinds_of(const Flow& flow) {
  std::string kinds;
  for (const auto& layer : flow.layers()) kinds += layer.description.substr(0, 2) + " ";
  return kinds;
}

TEST_CASE("every key that is left out gets its default", "[config]") {
  const FlowConfig short_one = FlowConfig::parse(R"({"data": {"type": "image8", "height": 4, "width": 6},
                            "layers": [{"type": "coupling", "conditioner": "gated_resnet"}, "squeeze",
                                       {"type": "sequence", "repeat": 2, "layers": ["split"]}]})",
                                                 "here");
  const FlowConfig long_one = FlowConfig::parse(R"({
    "name": "custom",
    "description": "",
    "data": {"type": "image8", "height": 4, "width": 6, "channels": 1, "levels": 256, "flatten": false},
    "dequantization": {"type": "uniform"},
    "layers": [
      {"type": "coupling", "repeat": 1, "mask": "checkerboard", "invert": false, "alternate": false,
       "transformer": {"type": "affine", "order": "scale_first", "bound": "learned_tanh"},
       "conditioner": {"type": "gated_resnet", "hidden": 32, "blocks": 3, "edition": "2024"}},
      {"type": "squeeze", "repeat": 1},
      {"type": "sequence", "repeat": 2, "layers": [{"type": "split", "repeat": 1}]}],
    "base": {"type": "standard_normal"},
    "training": {"data": "mnist", "epochs": 200, "batch_size": 128, "lr": 0.001, "lr_decay": 0.99, "clip_norm": 1}})",
                                                "there");
  CHECK(short_one.text() == long_one.text());
  CHECK(short_one == long_one);
  CHECK(short_one.name() == "custom");
  CHECK(short_one.description().empty());
  CHECK(short_one.takes_images());
  CHECK(Shape(short_one.data_shape()) == Shape(MapShape{1, 4, 6, 1}));
  CHECK(short_one.layers().size() == 3);
  CHECK(short_one.layers()[0].component("conditioner").integer("hidden") == 32);
  CHECK(short_one.layers()[2].components("layers")[0].path() == "layers.2.layers.0");
  CHECK(short_one.couplings() == 1);
  const TrainingDefaults training = short_one.training();
  CHECK(training.data == "mnist");
  CHECK(training.epochs == 200);
  CHECK(training.batch_size == 128);
  CHECK(training.lr == 1e-3);
  CHECK(training.lr_decay == 0.99);
  CHECK(training.clip_norm == 1);
}

TEST_CASE("the order of keys, and numbers written in another way, change nothing", "[config]") {
  const FlowConfig a = parse(flow_text(coupling(R"("repeat": 2, "mask": "channel")"),
                                       R"({"type": "map", "height": 4, "width": 6, "channels": 2})"));
  const FlowConfig b =
      parse(R"({"layers": [{"mask": "channel", )" + kNetwork + R"(, "repeat": 2.0, )" + kAffine +
            R"(, "type": "coupling"}], "data": {"channels": 2e0, "width": 6, "height": 4, "type": "map"},
               "name": "mine"})");
  CHECK(a == b);
  CHECK(a.text() == b.text());
}

TEST_CASE("every named model is one that can be built, and its text says all of it", "[config]") {
  const std::vector<std::string> names = FlowConfig::names();
  CHECK(names.size() >= 6);
  for (const std::string& name : names) {
    INFO(name);
    const FlowConfig config = FlowConfig::named(name);
    CHECK(config.name() == name);
    CHECK_FALSE(config.description().empty());
    for (const std::string& text : {config.text(), config.line()}) {
      const FlowConfig again = FlowConfig::parse(text, "again");
      CHECK(again == config);
      CHECK(again.text() == config.text());
    }
    CHECK(config.text().ends_with("}\n"));
    CHECK(config.line().find('\n') == std::string::npos);
    Flow flow(config);
    CHECK(flow.config() == config);
    CHECK(flow.layers().back().name == "base");
    for (const std::string& other : names) CHECK((FlowConfig::named(other) == config) == (other == name));
  }
  const std::string message = error_of([] { FlowConfig::named("glow\n"); });
  CHECK_THAT(message, Contains("unknown model 'glow?'") && Contains("multiscale") && Contains("vardeq_2022"));
}

TEST_CASE("two configurations are equal if they describe the same flow", "[config]") {
  const FlowConfig config = FlowConfig::named("simple");
  for (const auto& [path, value] : {std::pair{"name", "other"}, std::pair{"description", "words"},
                                    std::pair{"training.epochs", "3"}, std::pair{"training.data", "moons"}}) {
    INFO(path);
    const FlowConfig other = config.with(path, value);
    CHECK(other == config);
    CHECK(other.text() != config.text());
  }
  for (const auto& [path, value] :
       {std::pair{"data.width", "27"}, std::pair{"data.levels", "32"}, std::pair{"layers.0.repeat", "7"},
        std::pair{"layers.0.alternate", "false"}, std::pair{"layers.0.conditioner.blocks", "2"},
        std::pair{"layers.0.transformer.order", "scale_first"}}) {
    INFO(path);
    CHECK_FALSE(config.with(path, value) == config);
  }
}

TEST_CASE("what is not a description of a flow is refused", "[config]") {
  for (const std::string text : {"", "{", "nonsense", "{\"data\": }", "{'data': 1}", "\xff\xfe", "{\"a\": \"\xff\"}"}) {
    CHECK_THAT(complaint(text), Contains("is not JSON") && !Contains("exception"));
  }
  CHECK_THAT(complaint(flow_text(coupling()) + "x"), Contains("is not JSON"));
  CHECK_THAT(complaint("\"" + std::string(900'000, 'x')), Contains("is not JSON"));
  for (const std::string text : {"null", "[1, 2]", "3", "\"simple\"", "true"}) {
    CHECK_THAT(complaint(text), Contains("JSON object") && Contains("data, layers"));
  }
  CHECK_THAT(complaint(std::string(2 << 20, ' ')), Contains("1 MiB"));
  CHECK_THAT(complaint("{\"data\": {\"type\": \"image8\", \"height\": 1e999}}"), Contains("is not JSON"));
  for (const int deep : {100, 120'000}) {  // the last would run out of stack, were it copied
    for (const auto& [open, close] : {std::pair{"[", "]"}, std::pair{"{\"a\":", "}"}}) {
      std::string text = "{\"data\": ";
      for (int i = 0; i < deep; ++i) text += open;
      text += "1";
      for (int i = 0; i < deep; ++i) text += close;
      CHECK_THAT(complaint(text + "}"), Contains("nested more than 64 deep"));
    }
  }
  CHECK_THAT(complaint("{}"), Contains("'data' is missing"));
  CHECK_THAT(complaint(R"({"data": {"type": "vector", "dims": 2}})"), Contains("'layers' is missing"));
  const TempDir dir;
  const std::string path = dir.write("f.json", "{");
  CHECK_THAT(error_of([&] { FlowConfig::read(path); }), Catch::StartsWith(path + ": is not JSON"));
  CHECK_THAT(error_of([&] { FlowConfig::read(dir.file("none.json")); }), Contains("none.json"));
  CHECK_THAT(error_of([&] { FlowConfig::read(dir.write("big.json", std::string(2 << 20, ' '))); }),
             Contains("big.json"));
  CHECK(FlowConfig::read(dir.write("good.json", FlowConfig::named("vardeq").text())) == FlowConfig::named("vardeq"));
}

TEST_CASE("keys and types that nobody knows are refused with the choices", "[config]") {
  CHECK_THAT(complaint(flow_text(coupling(), R"({"type": "image8", "height": 4, "width": 6})", R"(, "bases": 1)")),
             Contains("unknown key 'bases'") && Contains("name, description, data, dequantization, layers, base or"));
  CHECK_THAT(complaint(flow_text(coupling(R"("masks": 1)"))),
             Contains("layers.0: unknown key 'masks'") && Contains("repeat, mask, invert"));
  CHECK_THAT(complaint(flow_text(R"("squeeze", {"type": "squeeze", "to": 2})")),
             Contains("layers.1: unknown key 'to'"));
  CHECK_THAT(complaint(flow_text(replaced(coupling(), "\"hidden\"", "\"hide\\nn\""))),
             Contains("layers.0.conditioner: unknown key 'hide?n'") && Contains("hidden, blocks or edition"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "image8", "height": 4, "width": 6, "depth": 1})")),
             Contains("data: unknown key 'depth'"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "vector", "dims": 6})",
                                 R"(, "base": {"type": "standard_normal", "mean": 0})")),
             Contains("base: unknown key 'mean': it has none but 'type'"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "vector", "dims": 6})", R"(, "training": {"rate": 1})")),
             Contains("training: unknown key 'rate'") && Contains("epochs"));

  CHECK_THAT(complaint(flow_text("\"glue\"")), Contains("layers.0: unknown layer 'glue'") &&
                                                   Contains("sequence, coupling, squeeze, split, actnorm") &&
                                                   Contains("invertible_conv or permutation"));
  CHECK_THAT(complaint(flow_text(R"({"type": 3})")), Contains("layers.0: unknown layer '3'"));
  CHECK_THAT(complaint(flow_text(replaced(coupling(), "affine", "spline9"))),
             Contains("layers.0.transformer: unknown transformer 'spline9'") && Contains("affine"));
  CHECK_THAT(complaint(flow_text(replaced(coupling(), "gated_resnet", "mlp9"))),
             Contains("layers.0.conditioner: unknown conditioner 'mlp9'") && Contains("gated_resnet"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "sound"})")),
             Contains("data: unknown data 'sound'") && Contains("vector"));
  CHECK_THAT(complaint(flow_text("", "\"vector\"", R"(, "base": "cauchy9")")), Contains("'dims' is missing"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "vector", "dims": 6})", R"(, "base": "cauchy9")")),
             Contains("base: unknown base 'cauchy9'"));
  CHECK_THAT(
      complaint(flow_text("", R"({"type": "image8", "height": 4, "width": 6})", R"(, "dequantization": "none9")")),
      Contains("dequantization: unknown dequantization 'none9'") && Contains("uniform"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "vector", "dims": 6})", R"(, "dequantization": "uniform")")),
             Contains("dequantization") && Contains("8-bit images only"));
}

TEST_CASE("keys that must be given are asked for", "[config]") {
  CHECK_THAT(complaint(flow_text(R"({"mask": "channel"})")),
             Contains("layers.0: the key 'type' is missing") && Contains("coupling"));
  CHECK_THAT(complaint(flow_text(R"({"type": "coupling"})")), Contains("layers.0: the key 'conditioner' is missing"));
  CHECK_THAT(complaint(flow_text(R"("squeeze", {"type": "sequence"})")),
             Contains("layers.1: the key 'layers' is missing"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "image8", "height": 4})")),
             Contains("data: the key 'width' is missing"));
  CHECK_THAT(complaint(flow_text("", R"({"height": 4, "width": 6})")), Contains("data: the key 'type' is missing"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "map", "height": 4, "width": 6})")),
             Contains("'channels' is missing"));
}

TEST_CASE("values of another type or out of range are refused", "[config]") {
  const auto of_coupling = [](const std::string& keys) { return complaint(flow_text(coupling(keys))); };
  for (const std::string value :
       {"0", "-1", "4097", "1e300", "99999999999999999999", "1.5", "\"2\"", "true", "null", "[2]", "{}"}) {
    INFO(value);
    CHECK_THAT(of_coupling("\"repeat\": " + value),
               Contains("layers.0.repeat: must be a whole number of 1 to 4096, not "));
  }
  CHECK_THAT(of_coupling(R"("invert": 1)"), Contains("layers.0.invert: must be true or false, not '1'"));
  CHECK_THAT(of_coupling(R"("alternate": "yes")"), Contains("layers.0.alternate: must be true or false"));
  CHECK_THAT(of_coupling(R"("mask": "stripes9")"), Contains("layers.0.mask: unknown value") &&
                                                       Contains("checkerboard") && Contains("channel") &&
                                                       Contains("list of 0 and 1"));
  CHECK_THAT(of_coupling(R"("mask": 1)"), Contains("layers.0.mask"));
  CHECK_THAT(of_coupling(R"("mask": [0, 1, 2])"), Contains("layers.0.mask.2") && Contains("0 to 1, not '2'"));
  CHECK_THAT(of_coupling(R"("mask": [0, "1"])"), Contains("layers.0.mask.1"));
  CHECK_THAT(complaint(flow_text(replaced(coupling(), R"("blocks": 1)", R"("blocks": 65)"))),
             Contains("layers.0.conditioner.blocks") && Contains("0 to 64"));
  CHECK_THAT(complaint(flow_text(replaced(coupling(), "shift_first", "both"))),
             Contains("layers.0.transformer.order") && Contains("scale_first or shift_first"));
  CHECK_THAT(complaint(flow_text(replaced(coupling(), R"({"type": "affine", "order": "shift_first"})", "[]"))),
             Contains("layers.0.transformer: must be an object") && Contains("a list"));
  CHECK_THAT(complaint(flow_text("3")), Contains("layers.0: must be an object that describes a layer, not '3'"));
  CHECK_THAT(complaint(R"({"data": {"type": "vector", "dims": 2}, "layers": {}})"), Contains("layers: must be a list"));
  CHECK_THAT(complaint(R"({"data": [], "layers": []})"), Contains("data: must be an object"));
  for (const std::string value : {"0", "1025", "-3", "2.5"}) {
    CHECK_THAT(complaint(flow_text("", R"({"type": "image8", "width": 6, "height": )" + value + "}")),
               Contains("data.height: must be a whole number of 1 to 1024"));
  }
  CHECK_THAT(complaint(flow_text("", R"({"type": "image8", "height": 4, "width": 6, "channels": 4})")),
             Contains("data.channels") && Contains("1 to 3"));
  CHECK_THAT(complaint(flow_text("", R"({"type": "map", "height": 1024, "width": 1024, "channels": 4096})")),
             Contains("data: ") && Contains("16777216 numbers"));
  const auto of_training = [](const std::string& keys) {
    return complaint(flow_text("", R"({"type": "vector", "dims": 6})", R"(, "training": {)" + keys + "}"));
  };
  CHECK_THAT(of_training(R"("epochs": 0)"), Contains("training.epochs") && Contains("1 to 1000000"));
  CHECK_THAT(of_training(R"("lr": 0)"), Contains("training.lr: must be a number of "));
  CHECK_THAT(of_training(R"("lr_decay": "slow")"), Contains("training.lr_decay"));
  CHECK_THAT(of_training(R"("clip_norm": -1)"), Contains("training.clip_norm"));
  CHECK_THAT(of_training(R"("data": 1)"), Contains("training.data: must be a text"));
  CHECK_THAT(complaint(R"({"name": 3, "data": {"type": "vector", "dims": 2}, "layers": []})"),
             Contains("name: must be a text"));
  // Names stand in errors of one line.
  for (const std::string& name : {std::string("a\\nb"), std::string("\\u001b[31m"), std::string(5000, 'x')}) {
    CHECK_THAT(complaint(R"({"name": ")" + name + R"(", "data": {"type": "vector", "dims": 2}, "layers": []})"),
               Contains("name: must be a text of one line"));
  }
}

TEST_CASE("numbers of layers that no flow has are refused before anything is built", "[config]") {
  const auto nested = [](const std::string& inner, int times, const std::string& repeat) {
    std::string text = inner;
    for (int i = 0; i < times; ++i)
      text = R"({"type": "sequence", "repeat": )" + repeat + R"(, "layers": [)" + text + "]}";
    return text;
  };
  const std::string image = R"({"type": "image8", "height": 4, "width": 6})";
  for (const std::string& layers : {nested(coupling(), 3, "1000"), nested(coupling(R"("repeat": 4096)"), 7, "4096"),
                                    nested(coupling(R"("repeat": 2)"), 1, "2049"), nested("", 7, "4096")}) {
    CHECK_THAT(complaint(flow_text(layers)), Contains("layers: with their repetitions they are more than 4096"));
    const std::string dequantization = R"(, "dequantization": {"type": "variational", "layers": [)" + layers + "]}";
    CHECK_THAT(complaint(flow_text("", image, dequantization)),
               Contains("dequantization.layers: with their repetitions"));
  }
  CHECK_NOTHROW(parse(flow_text(nested(coupling(), 2, "64"))));  // 4096
  CHECK_NOTHROW(parse(flow_text(nested(coupling(), 8, "1"))));
  CHECK_THAT(complaint(flow_text(nested(coupling(), 9, "1"))), Contains("nested more than 8 deep"));
  std::string many = "\"squeeze\"";
  for (int i = 0; i < 4096; ++i) many += ",\"squeeze\"";
  CHECK_THAT(complaint(flow_text(many)), Contains("layers: has more than 4096 layers"));
  std::string list = "0";
  for (int i = 0; i < 4096; ++i) list += ",0";
  CHECK_THAT(complaint(flow_text(coupling("\"mask\": [" + list + "]"))), Contains("layers.0.mask") && Contains("4097"));
}

TEST_CASE("layers that do not fit the shape in front of them are named when a flow is built", "[config]") {
  CHECK_THAT(misfit(flow_text("\"squeeze\", \"squeeze\"")),
             Contains("layers.1 (squeeze)") && Contains("2 x 3 pixels cannot be halved"));
  CHECK_THAT(misfit(flow_text("{\"type\": \"squeeze\", \"repeat\": 2}")), Contains("layers.0 (squeeze)"));
  CHECK_THAT(misfit(flow_text(coupling() + ", \"split\"")), Contains("layers.1 (split)") && Contains("one channel"));
  CHECK_THAT(misfit(flow_text(R"("squeeze", {"type": "sequence", "repeat": 3, "layers": ["split"]})")),
             Contains("layers.1.layers.0 (split)") && Contains("one channel"));
  CHECK_THAT(misfit(flow_text("\"squeeze\"", R"({"type": "vector", "dims": 6})")), Contains("1 x 1 pixels"));
  CHECK_THAT(misfit(flow_text("\"squeeze\"", R"({"type": "image8", "height": 4, "width": 6, "flatten": true})")),
             Contains("1 x 1 pixels"));
  const auto variational = [](const std::string& layers) {
    return misfit(flow_text("", R"({"type": "image8", "height": 4, "width": 6})",
                            R"(, "dequantization": {"type": "variational", "layers": [)" + layers + "]}"));
  };
  CHECK_THAT(variational("\"squeeze\", \"squeeze\""), Contains("dequantization.layers.1 (squeeze)"));
  CHECK_THAT(variational("\"squeeze\""), Contains("must keep its shape"));
  CHECK_THAT(misfit(flow_text(coupling("\"mask\": [0, 1]"))),
             Contains("layers.0 (coupling)") && Contains("mask has 2 numbers for 24 elements"));
  std::string ones = "1";
  for (int i = 1; i < 24; ++i) ones += ", 1";
  CHECK_THAT(misfit(flow_text(coupling("\"mask\": [" + ones + "]"))),
             Contains("layers.0 (coupling)") && Contains("lets everything through"));
  CHECK_THAT(misfit(flow_text(coupling(R"("mask": "channel")"))),
             Contains("layers.0 (coupling)") && Contains("lets nothing through") && Contains("(1, 4, 6, 1)"));
  CHECK_THAT(misfit(flow_text(coupling(R"("mask": "channel", "invert": true)"))), Contains("lets everything through"));
  // Wide networks: more parameters than a span can count, which takes no memory.
  CHECK_THAT(misfit(flow_text(replaced(coupling("\"repeat\": 16"), R"("hidden": 4)", R"("hidden": 4096)"))),
             Contains("layers.0 (coupling)") && Contains("2^31 numbers"));
}

TEST_CASE("masks are those that the configuration says", "[config]") {
  const auto masks_of = [](const std::string& layers) {
    std::string text;
    const Flow flow(parse(flow_text(layers)));
    for (const NamedMask& mask : flow.masks()) {
      text += mask.name.substr(6, mask.name.rfind('.') - 6) + (mask.mask.kind == MaskKind::kCheckerboard ? "b" : "c") +
              (mask.mask.invert ? "i " : " ");
    }
    return text;
  };
  CHECK(masks_of(coupling(R"("repeat": 3)")) == "1b 2b 3b ");
  CHECK(masks_of(coupling(R"("repeat": 3, "alternate": true)")) == "1b 2bi 3b ");
  CHECK(masks_of(coupling(R"("repeat": 3, "alternate": true, "invert": true)")) == "1bi 2b 3bi ");
  CHECK(masks_of(coupling(R"("invert": true)") + ", \"squeeze\", " + coupling(R"("mask": "channel")")) == "1bi 3c ");
  // Two entries alternate each for itself; an entry goes on where its sequence is repeated.
  const std::string alternate = coupling(R"("alternate": true)");
  CHECK(masks_of(alternate + ", " + alternate) == "1b 2b ");
  CHECK(masks_of(R"({"type": "sequence", "repeat": 2, "layers": [)" + alternate + ", " + coupling() + "]}") ==
        "1b 2b 3bi 4b ");
}

TEST_CASE("layers are numbered through sequences, and a sequence is its layers", "[config]") {
  const std::string two = "\"squeeze\", " + coupling(R"("mask": "channel", "repeat": 2, "alternate": true)");
  const std::string image = R"({"type": "image8", "height": 8, "width": 4})";
  const Flow flow(parse(flow_text(R"({"type": "sequence", "repeat": 2, "layers": [)" + two + "]}", image)));
  const Flow same(parse(flow_text(two + ", " + two, image)));
  CHECK(kinds_of(flow) == "un sq co co sq co co st ");
  REQUIRE(flow.parameters().count() == same.parameters().count());
  for (int i = 0; i < flow.parameters().count(); ++i) {
    CHECK(flow.parameters()[i].name == same.parameters()[i].name);
    CHECK(flow.parameters()[i].file_shape == same.parameters()[i].file_shape);
  }
  CHECK(flow.layers()[4].name == "flows.4");
  CHECK(Shape(flow.layers()[4].output) == Shape(MapShape{1, 2, 1, 16}));
  CHECK(flow.config().couplings() == 4);
}

TEST_CASE("one key can be changed by its path", "[config]") {
  const FlowConfig config = FlowConfig::named("multiscale");
  CHECK(config.with("layers.0.repeat", "3").layers()[0].integer("repeat") == 3);
  CHECK(config.with("layers.5.conditioner.hidden", "8").layers()[5].component("conditioner").integer("hidden") == 8);
  CHECK(config.with("dequantization.layers.0.repeat", "1").dequantization().components("layers")[0].integer("repeat") ==
        1);
  CHECK(config.with("data.height", "32").data_shape().h == 32);
  CHECK(config.with("training.lr", "1e-2").training().lr == 0.01);
  CHECK(config.with("layers.0.alternate", "false").layers()[0].flag("alternate") == false);
  CHECK(config == FlowConfig::named("multiscale"));  // it is another one that is changed

  // A text may go without its quotes, and stays one where it looks like a number.
  CHECK(config.with("layers.0.mask", "channel").layers()[0].text("mask") == "channel");
  CHECK(config.with("layers.0.mask", "\"channel\"").layers()[0].text("mask") == "channel");
  CHECK(config.with("layers.0.mask", "[0, 1]").layers()[0].integers("mask") == std::vector{0, 1});
  CHECK(config.with("layers.0.conditioner.edition", "2022").layers()[0].component("conditioner").text("edition") ==
        "2022");
  CHECK(config.with("name", "7").name() == "7");
  CHECK(config.with("name", "true").name() == "true");
  CHECK(config.with("description", "with \"quotes\"").description() == "with \"quotes\"");

  // Whole components and lists.
  CHECK(config.with("dequantization", "uniform").dequantization().type() == "uniform");
  CHECK(config.with("layers.1", "split").layers()[1].type() == "split");
  CHECK(config.with("layers", "[]").layers().empty());
  CHECK(config.with("layers.0.conditioner", R"({"type": "gated_resnet", "blocks": 1})")
            .layers()[0]
            .component("conditioner")
            .integer("hidden") == 32);
  // Another type begins with its defaults, except for repetitions.
  const FlowConfig squeezes = config.with("layers.0.type", "squeeze");
  CHECK(squeezes.layers()[0].type() == "squeeze");
  CHECK(squeezes.layers()[0].integer("repeat") == 2);
  CHECK(config.with("dequantization.type", "uniform").dequantization().type() == "uniform");
  const FlowConfig reset =
      config.with("layers.0.conditioner.hidden", "5").with("layers.0.conditioner.type", "gated_resnet");
  CHECK(reset.layers()[0].component("conditioner").integer("hidden") == 32);

  const auto refusal = [&](const std::string& path, const std::string& value) {
    return error_of([&] { config.with(path, value); });
  };
  CHECK_THAT(refusal("layers.6.repeat", "2"), Contains("layers.6.repeat: there is no item '6' in a list of 6"));
  for (const std::string part : {"-1", "x", "", "0x", "99999999999999999999", " 0"}) {
    CHECK_THAT(refusal("layers." + part + ".repeat", "2"), Contains("there is no item '" + part + "'"));
  }
  CHECK_THAT(refusal("layers.0.repeats", "2"), Contains("there is no key 'repeats'") && Contains("type, repeat, mask"));
  CHECK_THAT(refusal("base.mean", "2"), Contains("base.mean: there is no key 'mean'"));
  CHECK_THAT(refusal("layers.0.repeat.x", "2"), Contains("there is no key 'x'"));
  CHECK_THAT(refusal("", "2"), Contains("there is no key ''"));
  CHECK_THAT(refusal("layers.0.repeat", "0"), Catch::StartsWith("multiscale: layers.0.repeat: must be a whole number"));
  CHECK_THAT(refusal("layers.0.repeat", "many"), Contains("layers.0.repeat") && Contains("many"));
  CHECK_THAT(refusal("layers.0.type", "glow"), Contains("layers.0: unknown layer 'glow'"));
  CHECK_THAT(refusal("layers.0.type", "sequence"), Contains("layers.0: the key 'layers' is missing"));
  CHECK_THAT(refusal("layers", "coupling"), Contains("layers: must be a list"));
  CHECK_THAT(refusal("layers.0.repeat", std::string(100'000, '[')), Contains("layers.0.repeat"));
}

TEST_CASE("couplings are added where there are some", "[config]") {
  const auto repeats_of = [](const FlowConfig& config) {
    std::string text;
    for (const Settings& layer : config.layers()) text += std::to_string(layer.integer("repeat")) + " ";
    return text;
  };
  const FlowConfig config = FlowConfig::named("multiscale");
  CHECK(config.couplings() == 8);
  CHECK(config.with_couplings(8) == config);
  CHECK(repeats_of(config.with_couplings(4)) == "1 1 1 1 1 2 ");
  CHECK(repeats_of(config.with_couplings(12)) == "3 1 3 1 1 6 ");
  CHECK(config.with_couplings(12).couplings() == 12);
  CHECK(config.with_couplings(12).dequantization().components("layers")[0].integer("repeat") == 4);
  CHECK_THAT(error_of([&] { config.with_couplings(10); }), Contains("multiple of 4, not 10"));
  CHECK(repeats_of(FlowConfig::named("simple").with_couplings(1)) == "1 ");
  const std::string pair = coupling() + ", " + coupling(R"("repeat": 2)");
  const FlowConfig inside = parse(flow_text(R"({"type": "sequence", "repeat": 5, "layers": [)" + pair + "]}"));
  CHECK(inside.couplings() == 15);
  CHECK(inside.with_couplings(30).couplings() == 30);
  CHECK_THAT(error_of([&] { inside.with_couplings(20); }),
             Contains("15 couplings") && Contains("multiple of 15, not 20"));
  const FlowConfig none = parse(flow_text("\"squeeze\""));
  CHECK(none.couplings() == 0);
  CHECK_THAT(error_of([&] { none.with_couplings(4); }), Contains("model mine has no couplings"));
}

TEST_CASE("a configuration is moved to data of another shape", "[config]") {
  const FlowConfig image = FlowConfig::named("simple").with_shape(3, 5, 3);
  CHECK(Shape(image.data_shape()) == Shape(MapShape{1, 3, 5, 3}));
  CHECK(image.with_shape(28, 28, 1) == FlowConfig::named("simple"));
  CHECK_THAT(error_of([&] { image.with_shape(3, 5, 4); }), Contains("data.channels"));
  const FlowConfig vector = parse(flow_text("", R"({"type": "vector", "dims": 6})"));
  CHECK_FALSE(vector.takes_images());
  CHECK(Shape(vector.data_shape()) == Shape(MapShape{1, 1, 1, 6}));
  CHECK(Shape(vector.with_shape(1, 1, 9).data_shape()) == Shape(MapShape{1, 1, 1, 9}));
  CHECK_THAT(error_of([&] { vector.with_shape(1, 2, 3); }), Contains("model mine takes vectors"));
  const FlowConfig map = parse(flow_text("", R"({"type": "map", "height": 2, "width": 3, "channels": 7})"));
  CHECK(Shape(map.data_shape()) == Shape(MapShape{1, 2, 3, 7}));
  CHECK(Shape(map.with_shape(4, 5, 6).data_shape()) == Shape(MapShape{1, 4, 5, 6}));
}

TEST_CASE("every type describes itself and its keys", "[config]") {
  for (const ComponentKind kind : {ComponentKind::kData, ComponentKind::kDequantization, ComponentKind::kLayer,
                                   ComponentKind::kTransformer, ComponentKind::kConditioner, ComponentKind::kBase}) {
    std::vector<std::string> names;
    for (const ComponentType* const type : component_types(kind)) {
      INFO(component_kind_name(kind) << " " << type->name);
      names.push_back(type->name);
      CHECK_FALSE(type->summary.empty());
      for (const Key& key : keys_of(kind, *type)) {
        INFO(key.name);
        CHECK_FALSE(key.meaning.empty());
        CHECK(key.name != "type");
        // A default is a value that the key may have.
        if (key.fallback) CHECK_NOTHROW(check_keys(nlohmann::ordered_json::object(), {key}, ""));
      }
    }
    std::sort(names.begin(), names.end());
    CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  }
}

}  // namespace
}  // namespace flowsmith::core
