"""`verify`: whether what is stored agrees with itself and with the inputs."""
