# thin
