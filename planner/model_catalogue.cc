#include "planner/model_catalogue.h"

#include "base/data_dir.h"
#include "base/text.h"

namespace foretrain {

std::span<const BuiltInFile> built_in_models();  // written by the build

std::vector<NamedModel> model_catalogue() {
  const DataText text = data_text("planner/catalogue/models.json", built_in_models());
  const SpecNode file = SpecNode::parse(text.content, text.name);
  file.allow_only({"schema", "models"});
  std::vector<NamedModel> models;
  for (const SpecNode& node : file.required("models").items()) {
    node.allow_only({"name", "aliases", "parameters", "source", "config"});
    NamedModel model{
        node.required("name").as_string(), {}, 0, node.required("source").as_string(), node.required("config")};
    if (const auto parameters = node.optional("parameters")) {
      model.parameters = parameters->as_int({1, 100'000'000'000'000});
    }
    if (const auto aliases = node.optional("aliases")) {
      for (const SpecNode& alias : aliases->items()) model.aliases.push_back(alias.as_string());
    }
    std::vector<std::string> names = model.aliases;
    names.push_back(model.name);
    for (const std::string& name : names) {
      if (find_model(models, name) != nullptr) node.fail("another model is called " + in_quotes(name));
    }
    models.push_back(std::move(model));
  }
  return models;
}

const NamedModel* find_model(const std::vector<NamedModel>& models, std::string_view name) {
  const std::string wanted = to_lower(name);
  for (const NamedModel& model : models) {
    if (to_lower(model.name) == wanted) return &model;
    for (const std::string& alias : model.aliases) {
      if (to_lower(alias) == wanted) return &model;
    }
  }
  return nullptr;
}

}  // namespace foretrain
