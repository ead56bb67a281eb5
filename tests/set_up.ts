/** What the tasks do before they open a GPU, for tests that open one themselves: imported for its effect. */
import { setLinuxVariables } from "../tasks/linux_variables.ts";

setLinuxVariables();
