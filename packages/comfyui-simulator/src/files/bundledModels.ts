/** Names that the simulator offers as if the files were there, by folder kind. Their content does not exist. */
export const BUNDLED_MODELS: Readonly<Record<string, readonly string[]>> = {
  checkpoints: [
    "flux1-dev-fp8.safetensors",
    "ltx-video-2b-v0.9.5.safetensors",
    "sd_xl_base_1.0.safetensors",
    "v1-5-pruned-emaonly-fp16.safetensors",
  ],
  loras: ["detail_tweaker_xl.safetensors", "lcm_lora_sdv1-5.safetensors", "style/watercolor.safetensors"],
  vae: ["ae.safetensors", "hunyuan_video_vae_bf16.safetensors", "sdxl_vae.safetensors", "wan_2.1_vae.safetensors"],
  text_encoders: [
    "clip_l.safetensors",
    "llava_llama3_fp8_scaled.safetensors",
    "t5xxl_fp8_e4m3fn.safetensors",
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
  ],
  diffusion_models: [
    "flux1-dev.safetensors",
    "hunyuan_video_t2v_720p_bf16.safetensors",
    "wan2.1_t2v_1.3B_fp16.safetensors",
    "wan2.1_i2v_480p_14B_fp16.safetensors",
  ],
  clip_vision: ["clip_vision_h.safetensors"],
  controlnet: ["control_v11p_sd15_canny_fp16.safetensors", "control_v11p_sd15_openpose_fp16.safetensors"],
  upscale_models: ["RealESRGAN_x4plus.pth"],
  embeddings: ["EasyNegative.safetensors"],
  animatediff_models: ["mm_sd_v15_v2.ckpt"],
};

/** Folder kinds of a ComfyUI of 2026 (reference/comfyui-protocol.md §4), and the one AnimateDiff adds. */
export const MODEL_KINDS = [
  "checkpoints",
  "configs",
  "loras",
  "vae",
  "text_encoders",
  "diffusion_models",
  "clip_vision",
  "style_models",
  "embeddings",
  "diffusers",
  "vae_approx",
  "controlnet",
  "gligen",
  "upscale_models",
  "latent_upscale_models",
  "hypernetworks",
  "photomaker",
  "classifiers",
  "model_patches",
  "audio_encoders",
  "animatediff_models",
] as const;

/** Old names of folder kinds. */
export const LEGACY_KINDS: Readonly<Record<string, string>> = { unet: "diffusion_models", clip: "text_encoders" };

/** Extensions of model files. */
export const MODEL_EXTENSIONS = [".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"] as const;
