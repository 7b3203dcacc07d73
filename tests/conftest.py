pytest_plugins = ["tests.run_rules"]
