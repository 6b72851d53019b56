with choice as (
    select * from model_choice
),

renamed as (
    select
        market,
        period,
        model,
        every as trained_on_every,
        rows_train,
        rows_held_out,
        first_held_out,
        last_held_out,
        r2_held_out,
        behind as r2_behind,
        behind_error as r2_behind_error,
        champion,
        traded
    from choice
)

select * from renamed
