// Settings of a model that its files may lack or that a caller may want otherwise.
export interface PlanOverrides {
  /** Side of the model's input, a multiple of the patch; 518 for ViT-L/14, else the stored size. */
  imageSize?: number;
  /** 1-based layers after which a group ends; needed when the groups do not divide the layers. */
  visionLevels?: number[];
  textLevels?: number[];
  /** Scale of the LoRA parts: a stored value, else 2. */
  loraAlpha?: number;
  convLoraAlpha?: number;
  /** A stored value, else loraAlpha. */
  textLoraAlpha?: number;
  /** OpenAI's activation instead of the exact GELU that published adapters were trained with. */
  quickGelu?: boolean;
  /** Only for towers whose heads are not of CLIP's usual width. */
  visionHeads?: number;
  textHeads?: number;
}
