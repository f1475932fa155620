build_images() { :; }; play() { :; }; engine() { return 1; }
