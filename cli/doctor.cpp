#include <iostream>

#include "cli/checkup.h"
#include "cli/json.h"
#include "cli/verbs.h"

namespace knee::cli {
namespace {

void print_text(const std::vector<CheckupStep>& steps) {
  for (const auto& step : steps) {
    std::string name = step.name;
    name.resize(12, ' ');
    std::cout << (step.passed ? "ok      " : "FAILED  ") << name << step.detail << '\n';
    if (!step.passed) std::cout << step.advice << '\n';
  }
  if (steps.back().passed) std::cout << "This slave is well.\n";
}

void print_as_json(const std::vector<CheckupStep>& steps) {
  boost::json::array list;
  for (const auto& step : steps) {
    boost::json::object object{
        {"step", step.name}, {"passed", step.passed}, {"detail", step.detail}};
    if (!step.passed) object["advice"] = step.advice;
    list.push_back(std::move(object));
  }
  print_json(std::cout, list);
}

}  // namespace

Verb add_doctor(CLI::App& app, const Words&) {
  auto* verb = app.add_subcommand(
      "doctor", "Goes the way to one slave step by step: which fails, why, and what to do.");
  verb->footer("The exit code is 1 if a step fails.\n\nExample:\n  knee doctor gandalf --insecure");
  struct Given {
    std::string host;
    bool json = false;
  };
  const auto given = std::make_shared<Given>();
  verb->add_option("HOST", given->host, "The slave's address: HOST, HOST:PORT or unix:PATH.")
      ->required();
  verb->add_flag("--json", given->json, "Print the steps as a JSON array.");
  const SlaveOptions slaves(*verb);
  return {verb, [slaves, given] {
            const auto steps = check_slave(given->host, slaves.cluster());
            if (given->json)
              print_as_json(steps);
            else
              print_text(steps);
            return steps.back().passed ? 0 : 1;
          }};
}

}  // namespace knee::cli
