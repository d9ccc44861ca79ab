"""Export: collect content under names, lay out the bundle, and write it so that a killed export goes on."""
