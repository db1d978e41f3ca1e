// Parameter counts of Hugging Face configs. The expected totals are published ones where a line says so, and worked out
// by hand otherwise.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "planner/problem.h"

using namespace foretrain;

namespace {

ModelSpec read_fixture(const std::string& name) {
  return import_hf(SpecNode::read_file("tests/data/hf_configs/" + name + ".json"));
}
std::int64_t total_of(const std::string& name) { return count_parameters(read_fixture(name)).total; }
ModelSpec read_text(const std::string& json) { return import_hf(SpecNode::parse(json, "config.json")); }

std::string error_of(const std::string& json) {
  try {
    static_cast<void>(read_text(json));
  } catch (const SpecError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("imported configs have exactly the published number of parameters") {
  CHECK(total_of("Llama-3.1-8B") == 8'030'261'248);
  CHECK(total_of("Llama-3.1-70B-Instruct") == 70'553'706'496);
  CHECK(total_of("Mistral-7B-Instruct-v0.3") == 7'248'023'552);
  CHECK(total_of("Qwen2.5-32B-Instruct") == 32'763'876'352);
  CHECK(total_of("gpt2") == 124'439'808);
  CHECK(total_of("Mixtral-8x7B") == 46'702'792'704);
  CHECK(total_of("Qwen3-30B-A3B") == 30'532'122'624);
  CHECK(total_of("gpt-oss-20b") == 20'914'757'184);
  CHECK(total_of("DeepSeek-V2-Lite-16B") == 15'706'484'224);
  CHECK(total_of("Olmo-3-7B") == 7'298'011'136);
  CHECK(total_of("gpt_neox_defaults") == 20'554'567'680);         // GPT-NeoX-20B
  CHECK(total_of("opt_defaults") == 125'239'296);                 // OPT-125M
  CHECK(total_of("qwen2_moe_A2.7B_defaults") == 14'315'784'192);  // Qwen1.5-MoE-A2.7B
}

TEST_CASE("Falcon-7B shares one key and value among 71 heads, and its LM head with the embedding") {
  // A layer: qkv 4544 x (71 + 2) x 64 = 21,229,568; output 4544^2 = 20,647,936; MLP 8 x 4544^2 = 165,183,488;
  // one norm 9,088: 207,070,080. 32 of them, embedding 65024 x 4544 = 295,469,056, last norm 9,088.
  CHECK(total_of("falcon_7b_defaults") == 32 * 207'070'080LL + 295'469'056 + 9'088);
  // The checkpoint on the hub stores the LM head a second time: 7,217,189,760.
  const ModelSpec falcon = read_fixture("falcon_7b_defaults");
  CHECK(count_parameters(falcon).total + falcon.vocab * falcon.hidden == 7'217'189'760);
  CHECK(falcon.kv_heads == 1);
  CHECK(falcon.parallel_block);
  CHECK(falcon.not_plannable.empty());
}

TEST_CASE("BLOOM normalises its embedding and ties it") {
  // The class defaults: hidden 64, 2 layers. A layer: 12 x 64^2 = 49,152, biases 3x64 + 64 + 4x64 + 64 = 576, norms
  // 256: 49,984. Embedding 250,880 x 64 = 16,056,320, its norm 128, last norm 128.
  CHECK(total_of("bloom_defaults") == 2 * 49'984 + 16'056'320 + 128 + 128);
  const ModelSpec bloom = read_text(
      R"({"model_type": "bloom", "n_embed": 14336, "n_layer": 70, "num_attention_heads": 112, "vocab_size": 250880})");
  CHECK(count_parameters(bloom).total == 176'247'271'424);  // published
  CHECK(bloom.position == PositionKind::alibi);
}

TEST_CASE("Gemma 3's text part is counted, with four norms a layer and a tied embedding by default") {
  // Attention 5376 x 128 x (2 x 32 + 2 x 16) = 66,060,288; MLP 3 x 5376 x 21504 = 346,816,512; query and key norms 256;
  // four norms 21,504: 412,898,560 a layer. 62 layers, embedding 262,144 x 5376 = 1,409,286,144, last norm 5,376.
  CHECK(total_of("gemma-3-27b") == 62 * 412'898'560LL + 1'409'286'144 + 5'376);
  CHECK(read_fixture("gemma-3-27b").family == "gemma3_text");
}

TEST_CASE("Gemma 4's global layers share keys with values, and its experts stand beside a dense MLP") {
  // Hidden h = 2816. Sliding attention: h x 256 x (2 x 16 + 2 x 8) = 34,603,008, norms 512. Global: no value matrix,
  // h x 512 x (2 x 16 + 2) = 49,020,928, norms 1,024. MLP 3 x h x 2112 = 17,842,176. 128 experts of 3 x h x 704 =
  // 5,947,392 make 761,266,176. Router h x 128 + h + 128 = 363,392. Seven norms 19,712.
  const std::int64_t common = 17'842'176 + 761'266'176 + 363'392 + 19'712;
  const std::int64_t expected = 25 * (common + 34'603'008 + 512) + 5 * (common + 49'020'928 + 1'024) +
                                262'144LL * 2816 + 2816;  // tied embedding, last norm
  CHECK(total_of("Gemma-4-26B") == expected);
  CHECK_FALSE(read_fixture("Gemma-4-26B").not_plannable.empty());
}

TEST_CASE("Qwen3-Next has a gated delta net in three of four layers") {
  // Hidden 2048. Keys 16 x 128 = 2048 wide, values 32 x 128 = 4096. Delta net: input 2048 x (2 x 2048 + 2 x 4096) =
  // 25,165,824 and 2048 x 64 = 131,072; convolution 4 x 8192 = 32,768; 2 x 32 and a norm of 128: 192; output 4096 x
  // 2048 = 8,388,608: 33,718,464. Full attention: queries with gate 2048 x 2 x 4096, keys and values 2048 x 2 x 512,
  // output 4096 x 2048, norms 512: 27,263,488. 512 experts and a shared one of 3 x 2048 x 512 = 3,145,728; router 2048
  // x 512; gate 2048: 1,614,809,088. Two norms 4,096. Embedding and LM head 2 x 151,936 x 2048, last norm 2048.
  const std::int64_t experts = 513 * 3'145'728LL + 2048 * 512 + 2048;
  const std::int64_t expected = 36 * 33'718'464LL + 12 * 27'263'488LL + 48 * (experts + 4'096) + 622'329'856 + 2048;
  CHECK(total_of("Qwen3-Next-80B-A3B") == expected);
  CHECK(read_fixture("Qwen3-Next-80B-A3B").not_plannable.find("linear attention") != std::string::npos);
}

TEST_CASE("DeepSeek-V3.2 is DeepSeek-V3 and an indexer in every layer") {
  // V3 without multi-token prediction: 671,026,419,200 (published); it has a bias an expert, 58 x 256. V3.2's config
  // leaves nothing else out. Indexer: 1536 x 64 x 128 + 7168 x 128 + 2 x 128 + 7168 x 64 = 13,959,424.
  CHECK(total_of("DeepSeek-V3.2") == 671'026'419'200 + 61 * 13'959'424LL);
  const ModelSpec v3 = read_fixture("DeepSeek-V3.2");
  // DeepSeek-V3 report: 11.5 billion parameters of the extra layer are its own; 37 billion of the model are active.
  CHECK(static_cast<double>(count_parameters(v3).mtp) == doctest::Approx(11.5e9).epsilon(0.01));
  CHECK(static_cast<double>(count_parameters(v3).active) == doctest::Approx(38e9).epsilon(0.02));
}

TEST_CASE("OPT-350M embeds words in half the width and has no last norm") {
  const ModelSpec opt = read_text(R"({"model_type": "opt", "vocab_size": 50272, "max_position_embeddings": 2048,
      "num_hidden_layers": 24, "num_attention_heads": 16, "ffn_dim": 4096, "hidden_size": 1024,
      "word_embed_proj_dim": 512, "do_layer_norm_before": false})");
  CHECK(count_parameters(opt).total == 331'196'416);  // published
  CHECK_FALSE(opt.not_plannable.empty());
}

TEST_CASE("dense families can be planned and mixtures of experts say why not") {
  for (const char* dense : {"Llama-3.1-8B", "Mistral-7B-Instruct-v0.3", "Qwen2.5-32B-Instruct", "gpt2", "Olmo-3-7B",
                            "gpt_neox_defaults", "opt_defaults", "bloom_defaults", "gemma-3-27b"}) {
    CAPTURE(std::string(dense));
    CHECK(read_fixture(dense).not_plannable.empty());
    CHECK(count_parameters(read_fixture(dense)).active == count_parameters(read_fixture(dense)).total);
  }
  const auto load_fixture = [](const std::string& name) {
    const std::string path = "\"tests/data/hf_configs/" + name + ".json\"";
    return load_model(SpecNode::parse(path, "test"), "");
  };
  CHECK(load_fixture("Mixtral-8x7B").not_plannable == "mixture-of-experts layers are not planned yet");
  CHECK(load_fixture("DeepSeek-V2-Lite-16B").not_plannable ==
        "mixture-of-experts layers and multi-head latent attention are not planned yet");
  CHECK(load_fixture("Qwen2.5-32B-Instruct").name == "Qwen2.5-32B-Instruct");
}

TEST_CASE("a config without model_type says what is missing") {
  CHECK_THROWS_WITH_AS(
      static_cast<void>(read_fixture("gemma-2-27b")),
      "tests/data/hf_configs/gemma-2-27b.json: key \"model_type\" is missing: it says which Hugging Face "
      "family this config.json is of",
      SpecError);
}

TEST_CASE("errors in a config name file, key and remedy") {
  CHECK(error_of(R"({"model_type": "lama", "hidden_size": 8})")
            .find("config.json:/model_type: unknown model_type \"lama\"; did you mean \"llama\"?") == 0);
  CHECK(error_of(R"({"model_type": "llama", "num_hidden_layers": 2, "hiden_size": 8, "num_attention_heads": 2})") ==
        "config.json: key \"hidden_size\" is missing; found \"hiden_size\"");
  CHECK(error_of(R"({"model_type": "llama", "num_hidden_layers": 0, "hidden_size": 8, "num_attention_heads": 2})") ==
        "config.json:/num_hidden_layers: expected a whole number from 1 to 100000; got 0");
  CHECK(error_of(R"({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 100, "num_attention_heads": 3,
                     "vocab_size": 10, "intermediate_size": 10})") ==
        "config.json:/num_attention_heads: hidden_size 100 does not divide by 3 heads; give head_dim");
  CHECK(error_of(R"({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 96, "num_attention_heads": 3,
                     "num_key_value_heads": 2, "vocab_size": 10, "intermediate_size": 10})") ==
        "config.json:/num_key_value_heads: expected a divisor of the 3 query heads; got 2");
  CHECK(error_of(R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": "8"},
                     "vision_config": {}})") == "config.json:/text_config: key \"num_hidden_layers\" is missing");
}
