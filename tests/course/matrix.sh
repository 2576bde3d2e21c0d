# tests/course/matrix: the folders that the tests look at, made in $t by $q: each trainer, method, kind of sharing and kind of data. Sourced.
# The model is a folder with config.json, of a size that trains on a processor: its weights are made by tests/course/tiny.py where they are needed.
mkdir -p "$t/model" "$t/in"
cat > "$t/model/config.json" <<'J'
{"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "vocab_size": 288, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
 "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2,
 "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": true, "tie_word_embeddings": false, "max_position_embeddings": 512}
J
python3 - "$t/in" <<'P'
import json, sys
def put(name, rows):
    with open("%s/%s.jsonl" % (sys.argv[1], name), "w") as f:
        for r in rows:
            f.write(json.dumps(r) + "\n")
put("talk", ({"messages": [{"role": "user", "content": "what is %d + %d?" % (i, i)}, {"role": "assistant", "content": "it is %d" % (2 * i)}]} for i in range(40)))
put("text", ({"text": "line %d of a text that goes on." % i} for i in range(40)))
put("pairs", ({"prompt": "what is %d + %d?" % (i, i), "chosen": "it is %d" % (2 * i), "rejected": "it is %d" % (2 * i + 1)} for i in range(40)))
P
failed_matrix=
make_folder() { # NAME TRAINER DATA, then options
    name=$1 trainer=$2 data=$3; shift 3
    "$q" train-config "$trainer" --model "$t/model" --data "$t/in/$data.jsonl" --out "$t/$trainer-$name" --context 128 "$@" > "$t/said" 2> "$t/err" || {
        failed_matrix="$failed_matrix $trainer-$name: $(cat "$t/err")"; return; }
    folders="$folders $t/$trainer-$name"
}
folders=
for trainer in trl axolotl llamafactory; do
    make_folder lora $trainer talk --method lora --machine h100 --patience 3
    make_folder qlora $trainer talk --method qlora --machine h100
    make_folder full $trainer text --method full --machine h100
    make_folder pairs $trainer pairs --method lora --machine h100
    make_folder text $trainer text --method lora --machine 2x4090 --train attention
    make_folder zero2 $trainer talk --method lora --machine h100 --deepspeed zero2
    make_folder zero3 $trainer talk --method full --machine 2x4090 --deepspeed zero3
    make_folder fsdp $trainer talk --method lora --machine 2x4090 --fsdp
done
make_folder parts trl talk --method full --machine h100 --train experts,routers
make_folder parts axolotl talk --method full --machine h100 --train experts,routers
make_folder routers axolotl talk --method lora --machine h100 --train attention,experts,routers,embeddings,head
make_folder cpu trl talk --method lora --machine cpu-64g --rank 16 --expert-rank 2 --steps 3
make_folder cpu llamafactory talk --method lora --machine cpu-64g --steps 3
